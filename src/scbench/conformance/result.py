"""What a check says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

Check = tuple[str, Callable[[], str]]  # its name, and what it finds wrong


@dataclass(frozen=True)
class Result:
    """One check: its name and, if it failed, what was seen."""

    name: str
    failure: str = ""


def tried(checks: Sequence[Check]) -> Iterator[Result]:
    """Every check, one after the other. An exception inside a check is its failure."""
    for name, check in checks:
        try:
            yield Result(name, check())
        except Exception as error:
            yield Result(name, f"{type(error).__name__}: {error}")
