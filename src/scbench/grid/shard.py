"""Shards: the parts of a source's sessions that separate jobs compute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from scbench.errors import ScbenchError


@dataclass(frozen=True)
class Shard:
    """Shard `number` (from 0) of `of`: the sessions whose place in the sessions file is `number` modulo `of`.

    So shards differ by one session at most, and more sessions at the end change none of those before.
    """

    number: int = 0
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> Self:
        """The inverse of `str`; raises `ScbenchError` for anything else."""
        number, separator, of = text.partition("-of-")
        if not (separator and number.isdecimal() and of.isdecimal() and int(number) < int(of)):
            raise ScbenchError(f"'{text}' is no shard; write it as 0-of-4, 1-of-4, …")
        return cls(int(number), int(of))

    def __str__(self) -> str:
        return f"{self.number}-of-{self.of}"

    @property
    def file(self) -> str:
        """The name of its record file, without the suffix."""
        return "0" if self.of == 1 else str(self)

    def takes(self, place: int) -> bool:
        """Whether the session at this place (from 0) of the sessions file is its own."""
        return place % self.of == self.number


WHOLE = Shard()


def shards(of: int) -> tuple[Shard, ...]:
    """All shards of a family that is cut into so many."""
    return tuple(Shard(number, of) for number in range(of))
