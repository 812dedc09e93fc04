"""Leaving words out of a text until it fits a budget of tokens, whoever has scored them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

Cost = Callable[[str], int]  # how many tokens a text has for the model that will read it
Window = Sequence[int]  # the numbers of the words that compete with one another


@dataclass(frozen=True)
class Piece:
    """What a scorer calls a token: its text with the blanks before it, and its scores, one or more.

    `begins` says that it begins a word, `forced` that it must stay; a forced one ends its word.
    """

    text: str
    scores: tuple[float, ...]
    begins: bool
    forced: bool


@dataclass(frozen=True)
class Word:
    """A word with the blanks before it: what it is worth, and how many tokens it costs."""

    text: str
    score: float
    tokens: int
    forced: bool


def merged(pieces: Iterable[Piece], cost: Cost) -> list[Word]:
    """The pieces as words, each worth the mean of its scores. Blanks alone belong to what follows."""
    groups: list[list[Piece]] = []
    for piece in pieces:
        if not groups or _ended(groups[-1], piece):
            groups.append([])
        groups[-1].append(piece)
    return [_word(group, cost) for group in groups]


def _ended(group: Sequence[Piece], following: Piece) -> bool:
    if group[-1].forced:
        return True
    return (following.begins or following.forced) and any(piece.text.strip() for piece in group)


def _word(pieces: Sequence[Piece], cost: Cost) -> Word:
    text = "".join(piece.text for piece in pieces)
    score = fmean(score for piece in pieces for score in piece.scores)
    return Word(text, score, cost(text), any(piece.forced for piece in pieces))


@dataclass(frozen=True)
class Shortening:
    """At most `budget` of the `total` tokens of a text, as `cost` counts them.

    In every window forced words stay first and then those with the highest scores, the earlier of equal ones, as long
    as they fit in budget/total of the window's tokens. With `drop_repeated` a forced word goes that follows the same
    one with no other word kept between them, and makes room for others.
    """

    budget: int
    total: int
    cost: Cost
    drop_repeated: bool

    def __call__(self, words: Sequence[Word], windows: Sequence[Window]) -> str:
        """The text of the words that stay: one at least, if there are any.

        A text can cost more than its words one by one; then the shares are lowered until it fits.
        """
        allowed = self.budget
        while True:
            kept = self._kept(words, windows, allowed)
            if self.drop_repeated:
                kept = self._kept(words, windows, allowed, without=_repeated(words, kept))
            text = "".join(words[n].text for n in kept)
            excess = self.cost(text) - self.budget
            if excess <= 0 or len(kept) <= 1:
                return text
            allowed -= excess

    def _kept(
        self, words: Sequence[Word], windows: Sequence[Window], allowed: int, without: frozenset[int] = frozenset()
    ) -> list[int]:
        """The numbers of the words that stay, ascending."""
        kept: list[int] = []
        for window in windows:
            room = allowed * sum(words[n].tokens for n in window) // self.total
            for n in sorted(set(window) - without, key=lambda n: _rank(words, n)):
                room -= words[n].tokens
                if room < 0:
                    break
                kept.append(n)
        return sorted(kept) or sorted(set(range(len(words))) - without, key=lambda n: _rank(words, n))[:1]


def _rank(words: Sequence[Word], number: int) -> tuple[bool, float, int]:
    """What comes first stays first."""
    word = words[number]
    return not word.forced, -word.score, number


def _repeated(words: Sequence[Word], kept: Sequence[int]) -> frozenset[int]:
    """Of the words that stay, the forced ones that follow the same one."""
    gone, before = set(), None
    for number in kept:
        same = words[number].text.strip(" ") if words[number].forced else None
        if same is not None and same == before:
            gone.add(number)
        before = same
    return frozenset(gone)
