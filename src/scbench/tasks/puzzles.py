"""A multiple-choice puzzle of ICL.ManyShot, and how it is written down."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import TypeVar

Choice = TypeVar("Choice")


@dataclass(frozen=True)
class Puzzle:
    """What is told and asked, the right answer, and the wrong ones in random order."""

    text: str
    right: str
    wrong: tuple[str, ...]


def pick(choices: Sequence[Choice], source: random.Random) -> Choice:
    """One of the choices, as `source.choice` draws it but in a third of the time."""
    return choices[int(source.random() * len(choices))]


def written(puzzle: Puzzle, letter: str) -> str:
    """The puzzle with lettered options, the right one at `letter`, up to the word 'Answer:'."""
    place = ascii_uppercase.index(letter)
    options = (*puzzle.wrong[:place], puzzle.right, *puzzle.wrong[place:])
    listed = "\n".join([f"({mark}) {text}" for mark, text in zip(ascii_uppercase, options, strict=False)])
    return f"Question: {puzzle.text}\nOptions:\n{listed}\nAnswer:"


def balanced_letters(options: int, source: random.Random) -> Iterator[str]:
    """Letters of right answers: each of the first `options` once, in random order, and so on.

    So whoever always says the same letter, or the most frequent one, is right as often as chance.
    """
    while True:
        yield from source.sample(ascii_uppercase[:options], options)
