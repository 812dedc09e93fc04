"""ICL.ManyShot: many examples of a puzzle, then puzzles of the same kind, after three of BIG-Bench Hard."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from random import Random
from typing import Any, ClassVar

from scbench.tasks import puzzles_dates, puzzles_objects, puzzles_translations
from scbench.tasks.base import FieldError, Group, Task, text_field
from scbench.tasks.fit import Encoder, Supply
from scbench.tasks.puzzles import Puzzle, balanced_letters, written
from scbench.tasks.session import Session, Turn

Solved = tuple[str, str]  # a question, and the letter of its answer


@dataclass(frozen=True)
class Kind:
    """A kind of puzzle: its maker, and how many options its puzzles have."""

    puzzle: Callable[[Random], Puzzle]
    options: int


KINDS = (
    Kind(puzzles_dates.puzzle, puzzles_dates.OPTIONS),
    Kind(puzzles_translations.puzzle, puzzles_translations.OPTIONS),
    Kind(puzzles_objects.puzzle, puzzles_objects.OPTIONS),
)


@dataclass(frozen=True)
class ICLManyShot(Task):
    """Solved puzzles of one kind, which is the next one in the next session; an item is a solved puzzle."""

    max_new_tokens: int = 10

    name: ClassVar[str] = "icl_manyshot"
    title: ClassVar[str] = "ICL.ManyShot"
    group: ClassVar[str] = "Global information"
    metric: ClassVar[str] = "Accuracy"
    published: ClassVar[str] = "scbench_many_shot"

    def generate(self, index: int, tokenizer: Encoder) -> Session:
        """Puzzles that are not among the shots, each with another letter as its answer while there are any."""
        kind, known = KINDS[index % len(KINDS)], set[str]()
        asked = list(islice(self._solved(index, "questions", kind, known), self.turns))
        shots = Supply(self._solved(index, "shots", kind, known))
        fitted = self.fitted(lambda count: _render(shots.first(count)), tokenizer, sample=32)
        self.need(1, fitted.items, "shots")
        return self.generated(index, fitted, (Turn(question, letter) for question, letter in asked))

    def parse_turn(self, raw: Mapping[str, Any]) -> Turn:
        """A question with options '(A) …', and the letter of one of them."""
        question, answer = text_field("input", raw.get("input")), text_field("answer", raw.get("answer"))
        options = re.findall(r"\(([A-Z])\)", question)
        if not options:
            raise FieldError("input", "has no options '(A) …'")
        if answer not in options:
            raise FieldError("answer", f"{answer!r} is not the letter of one of the options {', '.join(options)}")
        return Turn(question, answer)

    def droppable(self, session: Session) -> Sequence[Group]:
        """The shots but the last, the first ones first; the questions can be answered without any."""
        starts = [match.start() for match in re.finditer("^Question:", session.context, re.MULTILINE)]
        return [(span,) for span in pairwise(starts)]

    def _solved(self, index: int, purpose: str, kind: Kind, known: set[str]) -> Iterator[Solved]:
        """Different puzzles, none of which is `known`; they then are."""
        source = self.random(index, purpose)
        for letter in balanced_letters(kind.options, self.random(index, f"{purpose}' letters")):
            puzzle = kind.puzzle(source)
            while puzzle.text in known:
                puzzle = kind.puzzle(source)
            known.add(puzzle.text)
            yield written(puzzle, letter), letter


def _render(shots: list[Solved]) -> str:
    return "\n\n".join([f"{question} ({letter})" for question, letter in shots])
