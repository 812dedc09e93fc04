"""Endless stories whose scenes each hold one set of facts: who gave what to whom, where it was hidden, and when.

Every scene has a person of its own, so a question that names this person has one answer. Givers, objects,
places and times come from thousands of combinations, and the sentences between the facts from millions.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scbench.tasks.vocabulary import (
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

SCENES_PER_CHAPTER = 12

GIFT = (
    "{giver} had given {person} a present that autumn, the {object}, and asked for nothing in return.",
    "It was {giver} who had given {person} the {object}, wrapped in a page of an old almanac.",
    "From {giver}, {person} had received the {object} at the end of a long and awkward supper.",
    "The {object} had come to {person} as a gift from {giver}, with a note that nobody could read.",
    "{giver} had pressed the {object} into the hands of {person} and would not take it back.",
)
HIDING = (
    "After some thought {person} hid the {object} in the {place}.",
    "Nobody but {person} knew that the {object} now lay hidden in the {place}.",
    "In the {place}, behind a loose board, {person} found a hiding place for the {object}.",
    "The {place} was where {person} chose to hide the {object}.",
    "So {person} carried the {object} to the {place} and hid it there.",
)
LEAVING = (
    "It was {time} when {person} set out for home.",
    "At {time}, not a minute sooner, {person} set out for home.",
    "{person} set out for home at {time}, as the porter wrote in his book.",
    "The station clock said {time} as {person} set out for home.",
)

FILLER = (
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


@dataclass(frozen=True)
class Scene:
    """A paragraph, and what it says: `giver` gave `person` the `object`, hidden in `place`; left at `time`."""

    text: str
    person: str
    giver: str
    object: str
    place: str
    time: str


def scenes(source: random.Random) -> Iterator[Scene]:
    """Scenes in the order of the story, no two with the same person: there are 70,000 people, for 7M tokens."""
    met: set[str] = set()
    while True:
        person = _name(source)
        while person in met:
            person = _name(source)
        met.add(person)
        yield _scene(source, person)


def tell(told: Sequence[Scene]) -> str:
    """The story as text: a paragraph per scene, a heading per chapter."""
    chapters = range(0, len(told), SCENES_PER_CHAPTER)
    return "\n\n".join(
        f"Chapter {number}\n\n" + "\n\n".join(scene.text for scene in told[start : start + SCENES_PER_CHAPTER])
        for number, start in enumerate(chapters, 1)
    )


def _scene(source: random.Random, person: str) -> Scene:
    giver = _name(source)
    while giver == person:
        giver = _name(source)
    facts = {
        "person": person,
        "giver": giver,
        "object": f"{source.choice(OBJECT_LOOK)} {source.choice(OBJECT)}",
        "place": f"{source.choice(PLACE_LOOK)} {source.choice(PLACE)}",
        "time": f"{source.randrange(24)}:{source.randrange(60):02d}",
    }
    gift, hiding, leaving = (source.choice(forms).format_map(facts) for forms in (GIFT, HIDING, LEAVING))
    sentences = (_filler(source), gift, hiding, _filler(source), leaving)
    return Scene(" ".join(sentences), **facts)


def _name(source: random.Random) -> str:
    return f"{source.choice(FIRST)} {source.choice(LAST_HEAD)}{source.choice(LAST_TAIL)}"


def _filler(source: random.Random) -> str:
    form, slots = source.choice(FILLER)
    sentence = form.format(*(source.choice(words) for words in slots))
    return sentence[0].upper() + sentence[1:]
