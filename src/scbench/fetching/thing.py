"""One thing that a sweep reads: where it is now, and how it is brought here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class State:
    """Bytes of the whole (None: not known before it is brought), and of them those that are not here."""

    size: int | None
    missing: int | None

    @property
    def here(self) -> bool:
        """Whether nothing is missing."""
        return self.missing == 0


class Thing(Protocol):
    """What can be looked up and brought; both raise `ScbenchError`, one line, where it cannot be had."""

    @property
    def name(self) -> str:
        """What it is, in a few words."""

    def state(self) -> State:
        """How large it is, and how much of it is not here; brings nothing."""

    def bring(self) -> None:
        """Bring what is missing; files that an earlier call has brought stay."""
