"""Mix.RepoQA+KV: Code.RepoQA's functions with lines of random keys and values between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, ClassVar

from scbench.tasks.base import Group, Task, text_field
from scbench.tasks.blocks import code_blocks, holding, removable
from scbench.tasks.code_repoqa import SEPARATOR, code_source, describe, functions, of_code, sources
from scbench.tasks.fit import Encoder, Supply
from scbench.tasks.mixes import alternate, counts, limits, subtask
from scbench.tasks.packages import SOURCES, ingredients
from scbench.tasks.retr_kv import Pair, key_question, uuid_pairs
from scbench.tasks.session import Session, Turn

PAIRS = 100  # at most, one to two functions; but as many as are asked for
LIMITS = {"code_repoqa": 1024, "retr_kv": 80}


@dataclass(frozen=True)
class MixRepoQAKV(Task):
    """Functions and values are asked for in turn; which comes first differs from one session to the next.

    Of the 100 pairs, short contexts have fewer: half as many as functions. Items are functions, made as in
    Code.RepoQA.
    """

    turns: int = 8
    max_new_tokens: int = 1024

    name: ClassVar[str] = "mix_repoqa_kv"
    title: ClassVar[str] = "Mix.RepoQA+KV"
    group: ClassVar[str] = "Multi-tasking"
    metric: ClassVar[str] = "Pass@1 + Accuracy"
    published: ClassVar[str] = "scbench_repoqa_and_kv"

    @classmethod
    def ingredients(cls) -> str:
        """The versions of the packages whose code is used."""
        return ingredients(SOURCES)

    def generate(self, index: int, tokenizer: Encoder) -> Session:
        """Different functions and different keys, anywhere in the context."""
        wanted = counts(tuple(LIMITS), index, self.turns)
        code = Supply(functions(self, index))
        most = max(PAIRS, wanted["retr_kv"])
        placed = self._placed(index, most)

        def shown(count: int) -> list[tuple[float, Pair]]:
            return placed[: max(wanted["retr_kv"], min(most, count // 2))]

        fitted = self.fitted(lambda count: _render(sources(code.first(count)), shown(count)), tokenizer, sample=8)
        self.need(wanted["code_repoqa"], fitted.items, "functions")
        source = self.random(index, "questions")
        told = code.first(fitted.items)
        keys = source.sample(shown(fitted.items), wanted["retr_kv"])
        asked = {
            "code_repoqa": [describe(function) for function in source.sample(told, wanted["code_repoqa"])],
            "retr_kv": [Turn(key_question(key), value) for _, (key, value) in keys],
        }
        return of_code(self.generated(index, fitted, alternate(asked, index, self.turns)), told)

    def parse_source(self, row: Mapping[str, Any]) -> tuple[str, str]:
        """The language, and the repository."""
        return code_source(row)

    def parse_turn(self, raw: Mapping[str, Any]) -> Turn:
        """A turn whose `task` is `scbench_repoqa`, which has a function's name, or `scbench_kv`, where none counts."""
        part = subtask(raw, tuple(LIMITS))
        function = text_field("name", raw.get("name")) if part == "code_repoqa" else None
        turn = super().parse_turn({**raw, "name": None})
        return replace(turn, subtask=part, function=function)

    def answer_limits(self, session: Session) -> tuple[int, ...]:
        """`max_new_tokens` (by default the original's 1024) for a function, at most 80 for a value."""
        return limits(session, LIMITS, self.max_new_tokens)

    def droppable(self, session: Session) -> Sequence[Group]:
        """Functions and lines of pairs in which no answer stands, in random order."""
        parts = code_blocks(session.context)
        kept = holding(session.context, parts, [str(turn.answer) for turn in session.turns])
        return removable(parts, kept, self.name, session.documents)

    def _placed(self, index: int, count: int) -> list[tuple[float, Pair]]:
        """Pairs, and their depths in the context, from 0 to 1."""
        depths = self.random(index, "depths")
        return [(depths.random(), pair) for pair in islice(uuid_pairs(self.random(index, "pairs")), count)]


def _render(code: Sequence[str], placed: Sequence[tuple[float, Pair]]) -> str:
    """The functions, with each pair as a comment of one line before one of them."""
    lines: dict[int, list[str]] = {}
    for depth, (key, value) in placed:
        lines.setdefault(int(depth * len(code)), []).append(f'# "{key}": "{value}"')
    return SEPARATOR.join(text for place, source in enumerate(code) for text in (*lines.get(place, ()), source))
