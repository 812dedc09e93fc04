"""Retr.MultiHop: follow chains of variable assignments through noise, after RULER (arXiv 2404.06654)."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

from scbench.errors import ScbenchError
from scbench.tasks.base import FieldError, Group, Task, kind_of, text_field
from scbench.tasks.fit import Encoder
from scbench.tasks.session import Session, Turn

HOPS = 2  # so that HOPS + 1 variables have a chain's value
INTRODUCTION = "Memorize and track the chain(s) of variable assignment hidden in the following text.\n\n"
NOISE = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again."
VALUES = range(10_000, 100_000)
CONSONANTS = "BCDFGHJKLMNPQRSTVWXZ"  # a name without vowels is no word that a model would say by itself
LETTERS = 5  # of every name, so that no name is part of another

Chain = tuple[int, tuple[str, ...]]  # a value, and the variables that have it


@dataclass(frozen=True)
class RetrMultiHop(Task):
    """A chain per turn, each the others' distractor; an item is an assignment or a passage of noise."""

    max_new_tokens: int = 30

    name: ClassVar[str] = "retr_multihop"
    title: ClassVar[str] = "Retr.MultiHop"
    group: ClassVar[str] = "String retrieval"
    metric: ClassVar[str] = "Accuracy"
    published: ClassVar[str] = "scbench_vt"
    context_field: ClassVar[str] = "input"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.turns > len(VALUES):
            raise ScbenchError(f"task.turns={self.turns}: {self.title} has {len(VALUES)} values to ask for")

    def generate(self, index: int, tokenizer: Encoder) -> Session:
        """The variables of each chain, whose lines stand in order and all over the text, between the other chains'."""
        chains = self._chains(index)
        lines = list(_scattered(chains, self.random(index, "order")))
        depths = self._depths(index, len(lines))
        sample = max(12 * self.turns, self.length // 100)
        fitted = self.fitted(lambda count: _render(lines, depths, count), tokenizer, sample=sample)
        self.need(len(lines) + self.turns, fitted.items, "items")
        return self.generated(index, fitted, (Turn(_question(value), names) for value, names in chains))

    def parse_context(self, value: Any) -> tuple[str, int | None]:
        """The text that the published rows keep under `input`."""
        return text_field(self.context_field, value), None

    def parse_turn(self, raw: Mapping[str, Any]) -> Turn:
        """A question, and a list of the variables' names."""
        answer = raw.get("answer")
        if not isinstance(answer, list):
            raise FieldError("answer", f"expected a list of texts, found {kind_of(answer)}")
        if not answer:
            raise FieldError("answer", "is empty")
        names = tuple(text_field(f"answer[{place}]", name) for place, name in enumerate(answer))
        return Turn(text_field("input", raw.get("input")), names)

    def droppable(self, session: Session) -> Sequence[Group]:
        """Passages of noise in random order, so that the chains stay scattered."""
        passages: list[Group] = [(item.span(),) for item in re.finditer(re.escape(NOISE) + r"\s+", session.context)]
        random.Random(f"{self.name}/{session.id}/dropping").shuffle(passages)
        return passages

    def _chains(self, index: int) -> list[Chain]:
        source = self.random(index, "chains")
        values = source.sample(VALUES, self.turns)
        numbers = source.sample(range(len(CONSONANTS) ** LETTERS), self.turns * self._variables())
        names = [_name(number) for number in numbers]
        return [(value, tuple(names[place :: self.turns])) for place, value in enumerate(values)]

    def _variables(self) -> int:
        """Of a chain."""
        return HOPS + 1

    def _depths(self, index: int, count: int) -> list[float]:
        """Where in the noise the lines stand: one in each of `count` equal parts."""
        source = self.random(index, "depths")
        return [(place + source.random()) / count for place in range(count)]


def _name(number: int) -> str:
    letters = ""
    for _ in range(LETTERS):
        number, place = divmod(number, len(CONSONANTS))
        letters += CONSONANTS[place]
    return letters


def _scattered(chains: list[Chain], source: random.Random) -> Iterator[str]:
    """The lines of all chains, mixed at random, each chain's in order."""
    order = [place for place, (_, names) in enumerate(chains) for _ in names]
    source.shuffle(order)
    lines = [_lines(chain) for chain in chains]
    return (next(lines[place]) for place in order)


def _lines(chain: Chain) -> Iterator[str]:
    value, names = chain
    yield f"VAR {names[0]} = {value} ."
    for known, name in pairwise(names):
        yield f"VAR {name} = VAR {known} ."


def _render(lines: list[str], depths: list[float], count: int) -> str:
    noise = max(0, count - len(lines))
    items: list[str] = []
    for place, (line, depth) in enumerate(zip(lines[:count], depths, strict=False)):
        items += [NOISE] * (int(depth * noise) - (len(items) - place))
        items.append(line)
    items += [NOISE] * (count - len(items))
    return INTRODUCTION + " ".join(items)


def _question(value: int) -> str:
    return f"Question: Find all variables that are assigned the value {value} in the text above."
