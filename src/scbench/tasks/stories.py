"""Endless stories whose scenes each hold one set of facts: who gave what to whom, where it was hidden, and when.

Every scene has a person of its own, so a question that names this person has one answer. Givers, objects,
places and times come from thousands of combinations, and the sentences between the facts from millions.
How a story is told, in which language, is an `Idiom`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from scbench.tasks.base import Group

SCENES_PER_CHAPTER = 12
PARAGRAPH = "\n\n"

Draw = Callable[[random.Random], str]
Sentence = tuple[str, tuple[tuple[str, ...], ...]]  # a form with a gap per list of words


@dataclass(frozen=True)
class Idiom:
    """The words and forms of one language's stories.

    `heading` is a chapter's, with a gap for its number. `gift`, `hiding` and `leaving` are the forms of the
    sentences that tell the facts; `filler` those between. `blank` parts sentences. The rest draws the facts.
    """

    heading: str
    gift: tuple[str, ...]
    hiding: tuple[str, ...]
    leaving: tuple[str, ...]
    filler: tuple[Sentence, ...]
    blank: str
    name: Draw
    object: Draw
    place: Draw
    time: Draw


@dataclass(frozen=True)
class Scene:
    """A paragraph, and what it says: `giver` gave `person` the `object`, hidden in `place`; left at `time`."""

    text: str
    person: str
    giver: str
    object: str
    place: str
    time: str


def scenes(source: random.Random, idiom: Idiom) -> Iterator[Scene]:
    """Scenes in the order of the story, no two with the same person."""
    met: set[str] = set()
    while True:
        person = idiom.name(source)
        while person in met:
            person = idiom.name(source)
        met.add(person)
        yield _scene(source, idiom, person)


def tell(told: Sequence[Scene], idiom: Idiom) -> str:
    """The story as text: a paragraph per scene, a heading per chapter."""
    chapters = range(0, len(told), SCENES_PER_CHAPTER)
    return PARAGRAPH.join(
        PARAGRAPH.join(
            (idiom.heading.format(number), *(scene.text for scene in told[start : start + SCENES_PER_CHAPTER]))
        )
        for number, start in enumerate(chapters, 1)
    )


def scenes_without(context: str, people: Collection[str], spared: Collection[str], idiom: Idiom) -> list[Group]:
    """The scenes of a story that hold none of the `people`, with the blank line before; headings stay.

    They come in a random order of the story's own, so that what is left keeps its depth; those that hold one of
    the texts `spared` come last.
    """
    heading = re.compile(re.escape(idiom.heading).replace(r"\{\}", r"\d+"))
    groups: dict[bool, list[Group]] = {False: [], True: []}
    start = 0
    for paragraph in context.split(PARAGRAPH):
        stop = start + len(paragraph)
        if start and not heading.fullmatch(paragraph) and not any(person in paragraph for person in people):
            groups[any(text in paragraph for text in spared)].append(((start - len(PARAGRAPH), stop),))
        start = stop + len(PARAGRAPH)
    for group in groups.values():
        random.Random(context).shuffle(group)
    return groups[False] + groups[True]


def _scene(source: random.Random, idiom: Idiom, person: str) -> Scene:
    giver = idiom.name(source)
    while giver == person:
        giver = idiom.name(source)
    facts = {
        "person": person,
        "giver": giver,
        "object": idiom.object(source),
        "place": idiom.place(source),
        "time": idiom.time(source),
    }
    gift, hiding, leaving = (
        source.choice(forms).format_map(facts) for forms in (idiom.gift, idiom.hiding, idiom.leaving)
    )
    sentences = (_filler(source, idiom), gift, hiding, _filler(source, idiom), leaving)
    return Scene(idiom.blank.join(sentences), **facts)


def _filler(source: random.Random, idiom: Idiom) -> str:
    form, slots = source.choice(idiom.filler)
    sentence = form.format(*(source.choice(words) for words in slots))
    return sentence[0].upper() + sentence[1:]
