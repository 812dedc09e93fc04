"""The shared budget: tokens, a share of the base, or bytes that are stored or touched."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self, TypeVar

from scbench.errors import ScbenchError

_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "kB": 10**3, "MB": 10**6, "GB": 10**9}
_NUMBER = r"(\d+(?:\.\d+)?)"


@dataclass(frozen=True)
class Limit:
    """So many bytes over all layers on which methods act: stored ones, or those that one new token touches."""

    bytes: int
    touched: bool


@dataclass(frozen=True)
class Budget:
    """A budget as the user wrote it.

    An int is tokens per layer, a float in (0, 1] a share of the base. `64MiB` are stored bytes, `64MiB/token` those
    that one new token touches; `25%stored` and `25%touched` are shares of what the dense cache stores and touches.
    """

    FORMS: ClassVar[str] = (
        "tokens (1024), a share of the base (0.25), stored bytes (64MiB, 25%stored), or touched ones (64MiB/token, "
        "25%touched)"
    )

    value: int | float | str

    def __post_init__(self) -> None:
        if isinstance(self.value, str) and _size(self.value) is not None:
            return
        tokens = isinstance(self.value, int) and self.value >= 1
        share = isinstance(self.value, float) and 0 < self.value <= 1
        if isinstance(self.value, bool) or not (tokens or share):
            raise ScbenchError(f"budget={self.value}: expected {self.FORMS}")

    @property
    def in_bytes(self) -> bool:
        """Whether it is one of bytes, so that a method's parameter must be solved for."""
        return isinstance(self.value, str)

    @property
    def order(self) -> tuple[str, float]:
        """What budgets are sorted by: their kind, then their size within it."""
        size = _size(str(self.value)) if isinstance(self.value, str) else None
        if size is None:
            return type(self.value).__name__, float(self.value)
        unit = "share" if size.share else "bytes"
        return f"{'touched' if size.touched else 'stored'} {unit}", size.amount

    def limit(self, dense: int) -> Limit:
        """The bytes of a budget in bytes; `dense` is what the dense cache of the base stores, and a token reads."""
        size = _size(str(self.value))
        if size is None:
            raise TypeError(f"budget={self.value} is not one of bytes")
        return Limit(int(size.amount * dense if size.share else size.amount), size.touched)

    def tokens(self, base: int, token_bytes: int) -> int:
        """Tokens per layer: `base` is the base's length, `token_bytes` what a dense one costs over all layers."""
        if self.in_bytes:
            return max(1, self.limit(base * token_bytes).bytes // token_bytes)
        if isinstance(self.value, float):
            return max(1, int(self.value * base))
        return int(self.value)


@dataclass(frozen=True)
class _Size:
    amount: float
    share: bool
    touched: bool


def _size(text: str) -> _Size | None:
    """A text as bytes, or as a share of the dense cache's; None if it is neither."""
    if match := re.fullmatch(rf"{_NUMBER}\s*([kKMG]?i?B)(/token)?", text):
        amount = float(match[1]) * _UNITS.get(match[2], 0)
        return _Size(amount, False, match[3] is not None) if amount >= 1 else None
    if match := re.fullmatch(rf"{_NUMBER}\s*%\s*(stored|touched)", text):
        amount = float(match[1]) / 100
        return _Size(amount, True, match[2] == "touched") if 0 < amount <= 1 else None
    return None


def most_tokens(fits: Callable[[int], bool], tokens: int) -> int | None:
    """The largest n in [1, `tokens`] that fits, where more tokens never cost less; None if not even 1 does."""
    if fits(tokens):
        return tokens
    low, high = 0, tokens  # high does not fit, nor does anything above
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low or None


class Rounds(Protocol):
    """A setting that rounds all tokens but the newest."""

    def with_exact(self, newest: int) -> Self:
        """The same, with at least so many tokens that stay as they are."""


Setting = TypeVar("Setting", bound=Rounds)


def most_exact(settings: Iterable[Setting], fits: Callable[[Setting], bool], tokens: int) -> Setting | None:
    """The first of the settings that fits, with as many of `tokens` exact as fit too; None if none does."""
    found = next((setting for setting in settings if fits(setting)), None)
    newest = None if found is None else most_tokens(lambda count: fits(found.with_exact(count)), tokens)
    return found if found is None or newest is None else found.with_exact(newest)
