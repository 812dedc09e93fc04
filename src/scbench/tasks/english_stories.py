"""Stories in English."""

from __future__ import annotations

import random

from scbench.tasks.english_vocabulary import (
    DID,
    FIRST,
    FOLK,
    GROUND,
    LAST_HEAD,
    LAST_TAIL,
    MATTER,
    MOVED,
    OBJECT,
    OBJECT_LOOK,
    PLACE,
    PLACE_LOOK,
    WEATHER,
    WHEN,
)
from scbench.tasks.stories import Idiom

_GIFT = (
    "{giver} had given {person} a present that autumn, the {object}, and asked for nothing in return.",
    "It was {giver} who had given {person} the {object}, wrapped in a page of an old almanac.",
    "From {giver}, {person} had received the {object} at the end of a long and awkward supper.",
    "The {object} had come to {person} as a gift from {giver}, with a note that nobody could read.",
    "{giver} had pressed the {object} into the hands of {person} and would not take it back.",
)
_HIDING = (
    "After some thought {person} hid the {object} in the {place}.",
    "Nobody but {person} knew that the {object} now lay hidden in the {place}.",
    "In the {place}, behind a loose board, {person} found a hiding place for the {object}.",
    "The {place} was where {person} chose to hide the {object}.",
    "So {person} carried the {object} to the {place} and hid it there.",
)
_LEAVING = (
    "It was {time} when {person} set out for home.",
    "At {time}, not a minute sooner, {person} set out for home.",
    "{person} set out for home at {time}, as the porter wrote in his book.",
    "The station clock said {time} as {person} set out for home.",
)

_FILLER = (
    (
        "{} {} {}, and {} were seen nowhere.",
        (WEATHER, MOVED, GROUND, ("the gulls", "the dogs", "the carts", "the swifts")),
    ),
    ("{} {} {} {}.", (FOLK, DID, MATTER, WHEN)),
    ("Near {}, {} {} {}.", (GROUND, FOLK, DID, MATTER)),
    ("While {} {} {}, someone {} {}.", (WEATHER, MOVED, GROUND, DID, MATTER)),
    ("Nobody remembered why {} {} {}, least of all {}.", (FOLK, DID, MATTER, FOLK)),
    ("There was talk of {} {}, and {} {} {}.", (MATTER, WHEN, FOLK, DID, MATTER)),
)


def _name(source: random.Random) -> str:
    """One of 70,000 names: people for 7M tokens."""
    return f"{source.choice(FIRST)} {source.choice(LAST_HEAD)}{source.choice(LAST_TAIL)}"


def _object(source: random.Random) -> str:
    return f"{source.choice(OBJECT_LOOK)} {source.choice(OBJECT)}"


def _place(source: random.Random) -> str:
    return f"{source.choice(PLACE_LOOK)} {source.choice(PLACE)}"


def _time(source: random.Random) -> str:
    return f"{source.randrange(24)}:{source.randrange(60):02d}"


ENGLISH = Idiom("Chapter {}", _GIFT, _HIDING, _LEAVING, _FILLER, " ", _name, _object, _place, _time)
