"""Gen.Records: write many records of the context out again, in a given order: a long answer that cannot be guessed."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from string import ascii_lowercase, ascii_uppercase, digits
from typing import ClassVar

from scbench.errors import ScbenchError
from scbench.tasks.base import Group, Task
from scbench.tasks.fit import Encoder, Fitted, Supply
from scbench.tasks.session import Session, Turn
from scbench.tasks.shrink import separated

FILLED = 0.8  # of `max_new_tokens`, by an answer; the rest is for what a model says around it
HEADER = "Records, one per line: key | code | number | hash | share\n\n"
QUESTION = (
    "Write out the records with the following keys, one per line, exactly as they stand above, "
    "in the order of the keys:\n"
)
LINE = re.compile(r"^([0-9a-z]{8}) \| .+$", re.MULTILINE)


@dataclass(frozen=True)
class GenRecords(Task):
    """Records of random fields under random keys; a question lists keys, and the answer is their records, in order.

    `records`  records per answer; null: as many as fill four fifths of `max_new_tokens`, or fewer where the context
               has not so many for every turn, as no record is asked for twice in a session

    This task is not one of SCBench's, whose answers are short: it shows what many decoding steps do to a cache. The
    records of a question stand anywhere in the context, in another order than there.
    """

    max_new_tokens: int = 1280
    records: int | None = None

    name: ClassVar[str] = "gen_records"
    title: ClassVar[str] = "Gen.Records"
    group: ClassVar[str] = "Long generation"
    metric: ClassVar[str] = "share of records"
    published: ClassVar[str] = ""
    part_of_scbench: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.records is not None and self.records < 1:
            raise ScbenchError(f"task.records={self.records}: must be at least 1, or null")
        if self.data is not None:
            raise ScbenchError(f"task.data={self.data}: {self.title} has generated contexts only; leave it null")

    def generate(self, index: int, tokenizer: Encoder) -> Session:
        """Records from all over the context, other ones at each turn."""
        lines = Supply(record_lines(self.random(index, "records")))
        fitted = self.fitted(lambda count: _render(lines.first(count)), tokenizer, sample=16)
        self.need(self.turns * (self.records or 1), fitted.items, "records")
        count = self.records or self._count(fitted)
        asked = self.random(index, "questions").sample(lines.first(fitted.items), self.turns * count)
        turns = [_turn(asked[start : start + count]) for start in range(0, len(asked), count)]
        if self.records is not None:
            self._check(turns, tokenizer)
        return self.generated(index, fitted, turns)

    def droppable(self, session: Session) -> Sequence[Group]:
        """The records that no turn asks for, in random order, so that the others keep their depths."""
        found = list(LINE.finditer(session.context))
        wanted = {line for turn in session.turns for line in str(turn.answer).split("\n")}
        kept = {place for place, line in enumerate(found) if line[0] in wanted}
        groups = [(span,) for span in separated([line.span() for line in found], kept).values()]
        random.Random(f"{self.name}/drop/{session.documents}").shuffle(groups)
        return groups

    def answer_kept(self, turn: Turn, whole: str, kept: str) -> bool:
        """Whether all the records still stand that are asked for and that stood there."""
        left = {line[0] for line in LINE.finditer(kept)}
        stood = {line[0] for line in LINE.finditer(whole)}
        return all(line in left for line in str(turn.answer).split("\n") if line in stood)

    def _count(self, fitted: Fitted) -> int:
        """How many records an answer has."""
        room = int(FILLED * self.max_new_tokens * fitted.items / fitted.tokens)
        return max(1, min(room, fitted.items // self.turns))

    def _check(self, turns: Sequence[Turn], tokenizer: Encoder) -> None:
        longest = max(len(tokenizer.encode(str(turn.answer), add_special_tokens=False)) for turn in turns)
        if longest >= self.max_new_tokens:
            raise ScbenchError(
                f"{self.title}: an answer of task.records={self.records} has {longest} tokens, "
                f"more than task.max_new_tokens={self.max_new_tokens} lets a model write; raise this or lower that"
            )


def record_lines(source: random.Random) -> Iterator[str]:
    """Endless records, a line each, with different keys: nothing in one tells anything about another."""
    given: set[str] = set()
    while True:
        key = "".join(source.choices(ascii_lowercase + digits, k=8))
        if key not in given:
            given.add(key)
            code = "".join(source.choices(ascii_uppercase, k=6))
            number, share = source.randrange(100_000, 1_000_000), source.randrange(10_000)
            yield f"{key} | {code} | {number} | {source.getrandbits(32):08x} | 0.{share:04}"


def _render(lines: Sequence[str]) -> str:
    return HEADER + "\n".join(lines)


def _turn(lines: Sequence[str]) -> Turn:
    keys = (line.partition(" ")[0] for line in lines)
    return Turn(QUESTION + "\n".join(keys), "\n".join(lines))
