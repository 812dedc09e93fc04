"""Puzzles of the kind of BIG-Bench Hard's tracking of seven shuffled objects: who has what after some swaps?"""

from __future__ import annotations

import random
from dataclasses import dataclass

from scbench.tasks.puzzles import Puzzle

OPTIONS = 7
SWAPS = 7
PEOPLE = (
    "Anna", "Bruno", "Carla", "Daniel", "Elena", "Frank", "Gloria", "Hugo", "Irene", "Jakob", "Karin", "Leo",
    "Maria", "Nils", "Olivia", "Paul", "Rosa", "Simon", "Teresa", "Viktor", "Wanda", "Xenia", "Yusuf", "Zoe",
)  # fmt: skip
ORDER = ("First", "Then", "Next", "After that", "A little later", "Soon after", "Finally")


@dataclass(frozen=True)
class Theme:
    """Seven people with a thing each: how it is told, and the things."""

    opening: str
    has: str
    swap: str
    ending: str
    things: tuple[str, ...]


THEMES = (
    Theme(
        "{people} sit around a table, and everyone gets a parcel.",
        "gets the",
        "exchange their parcels",
        "Which parcel does {person} have at the end?",
        tuple(
            f"{colour} parcel"
            for colour in ("red", "blue", "green", "yellow", "white", "black", "brown", "pink", "purple", "orange")
        ),
    ),
    Theme(
        "{people} are at a ball, and everyone has a partner.",
        "dances with",
        "change partners",
        "Who does {person} dance with at the end?",
        ("Ms Abel", "Ms Brandt", "Ms Cole", "Ms Duval", "Ms Evans", "Ms Falk", "Ms Grimm", "Ms Hall", "Ms Ito"),
    ),
    Theme(
        "{people} are in a reading circle, and everyone borrows a book.",
        "borrows",
        "trade their books",
        "Which book does {person} have at the end?",
        ("Emma", "Dracula", "Ulysses", "Hamlet", "Middlemarch", "Candide", "Frankenstein", "Walden", "Faust"),
    ),
    Theme(
        "{people} play in the same team, and everyone starts in a position.",
        "starts as",
        "swap positions",
        "Which position does {person} play at the end?",
        ("goalkeeper", "sweeper", "left back", "right back", "left winger", "right winger", "striker", "playmaker"),
    ),
)


def puzzle(source: random.Random) -> Puzzle:
    """Swaps of two people at a time, and a person to ask about."""
    theme = source.choice(THEMES)
    people = source.sample(PEOPLE, OPTIONS)
    first = source.sample(theme.things, OPTIONS)
    starts = [f"{person} {theme.has} {thing}" for person, thing in zip(people, first, strict=True)]
    things = list(first)
    steps = []
    for when in ORDER[: SWAPS - 1] + ORDER[-1:]:
        a, b = source.sample(range(OPTIONS), 2)
        things[a], things[b] = things[b], things[a]
        steps.append(f"{when}, {people[a]} and {people[b]} {theme.swap}.")
    asked = _asked([now == then for now, then in zip(things, first, strict=True)], source)
    right = things.pop(asked)
    text = (
        f"{theme.opening.format(people=_listed(people))} At the start, {_listed(starts)}. {' '.join(steps)} "
        f"{theme.ending.format(person=people[asked])}"
    )
    return Puzzle(text, right, tuple(source.sample(things, len(things))))


def _asked(same: list[bool], source: random.Random) -> int:
    """Whom to ask about: not oftener than chance somebody who ends with what he had at the start."""
    wanted = source.random() < 1 / OPTIONS
    fitting = [place for place, is_same in enumerate(same) if is_same == wanted]
    return source.choice(fitting or range(OPTIONS))


def _listed(texts: list[str]) -> str:
    return f"{', '.join(texts[:-1])} and {texts[-1]}"
