"""Fitting a generated text to a number of tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Generic, Protocol, TypeVar

Item = TypeVar("Item")


class Encoder(Protocol):
    """Text to token ids, as Hugging Face tokenizers do it."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """The token ids of `text`."""


class Supply(Generic[Item]):
    """The first items of a stream, drawn once and kept, so that a longer text extends a shorter one."""

    def __init__(self, stream: Iterator[Item]):
        self._stream = stream
        self._drawn: list[Item] = []

    def first(self, count: int) -> list[Item]:
        """The stream's first `count` items."""
        self._drawn.extend(islice(self._stream, max(0, count - len(self._drawn))))
        return self._drawn[:count]


@dataclass(frozen=True)
class Fitted:
    """A text of `items` items that has `tokens` tokens."""

    text: str
    items: int
    tokens: int


def fit(text: Callable[[int], str], length: int, tokenizer: Encoder, *, sample: int) -> Fitted:
    """The text of as many items as `length` tokens hold: never above, at most max(1 %, one item) below.

    `text(n)` renders n items and grows with n. The tokens per item are first read off a text of `sample`
    items; the text is then tokenised, corrected once for the difference, and tokenised again. Only a short
    text, where an item is more than 1 %, can still miss by an item and is read once more. If not even one
    item fits, the result is the empty text of 0 items.
    """
    rate = _count(text(sample), tokenizer) / sample
    items, too_many = _aim(length, rate), None
    while items > 0:
        candidate = text(items)
        tokens = _count(candidate, tokenizer)
        gap, rate = length - tokens, tokens / items
        if gap >= 0 and (gap <= max(length / 100, rate) or items + 1 == too_many):
            return Fitted(candidate, items, tokens)
        if gap < 0:
            too_many = items
            items = min(_aim(length, rate), too_many - 1)
        else:
            items = max(_aim(length, rate), items + 1)
            items = items if too_many is None else min(items, too_many - 1)
    return Fitted("", 0, 0)


def _aim(length: int, rate: float) -> int:
    """How many items to try: for the middle of the allowed 1 % where that is two items wide or more."""
    target = length if length / 100 < 2 * rate else length * 0.995
    return max(1, int(target / rate))


def _count(text: str, tokenizer: Encoder) -> int:
    return len(tokenizer.encode(text, add_special_tokens=False))
