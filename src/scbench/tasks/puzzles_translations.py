"""Puzzles of the kind of BIG-Bench Hard's salient translation error detection: which error has the translation?"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from scbench.tasks.german import FRAMES, PLACES, TAILS, Frame, Noun, Pair
from scbench.tasks.puzzles import Puzzle, pick


@dataclass(frozen=True)
class Sentence:
    """What a sentence says, in either language."""

    frame: Frame
    noun: Noun
    name: str
    place: str
    adjective: Pair
    number: int
    state: Pair
    negated: bool
    tail: Pair

    def german(self) -> str:
        """The sentence in German."""
        noun = self.noun
        return self.frame.german.format(
            name=self.name,
            place=self.place,
            noun=f"{noun.article} {self.adjective[0]}{noun.ending} {noun.german}",
            who=noun.pronoun,
            number=self.number,
            state=("nicht " if self.negated else "") + self.state[0],
            tail=self.tail[0],
        )

    def english(self) -> str:
        """The sentence in English."""
        adjective = self.adjective[1]
        return self.frame.english.format(
            name=self.name,
            place=self.place,
            noun=f"{'an' if adjective[0] in 'aeiou' else 'a'} {adjective} {self.noun.english}",
            number=self.number,
            state=("not " if self.negated else "") + self.state[1],
            tail=self.tail[1],
        )


def puzzle(source: random.Random) -> Puzzle:
    """A German sentence, its English translation with one error, and the kinds of error."""
    sentence = _sentence(source)
    right, *others = source.sample(KINDS, OPTIONS)
    wrong = ERRORS[right](sentence, source)
    text = (
        "A German sentence was translated into English. The translation has one error.\n"
        f"German: {sentence.german()}\nEnglish: {wrong.english()}\nWhat kind of error is it?"
    )
    return Puzzle(text, right, tuple(others))


def _sentence(source: random.Random) -> Sentence:
    frame = pick(FRAMES, source)
    noun = pick(frame.nouns, source)
    return Sentence(
        frame=frame,
        noun=noun,
        name=_name(frame, noun, source),
        place=pick(PLACES, source),
        adjective=pick(frame.adjectives, source),
        number=pick(frame.numbers, source),
        state=pick(frame.states, source),
        negated=source.random() < 0.5,
        tail=pick(TAILS, source),
    )


def _name(frame: Frame, noun: Noun, source: random.Random) -> str:
    return " ".join([pick(part, source) for part in frame.names[noun.gender]])


def _other_adjective(sentence: Sentence, source: random.Random) -> Sentence:
    others = [adjective for adjective in sentence.frame.adjectives if adjective != sentence.adjective]
    return replace(sentence, adjective=pick(others, source))


def _other_number(sentence: Sentence, source: random.Random) -> Sentence:
    other = sentence.number
    while other == sentence.number:
        other = pick(sentence.frame.numbers, source)
    return replace(sentence, number=other)


def _other_negation(sentence: Sentence, source: random.Random) -> Sentence:
    return replace(sentence, negated=not sentence.negated)


def _other_entity(sentence: Sentence, source: random.Random) -> Sentence:
    if source.random() < 0.5:
        return replace(sentence, place=source.choice([place for place in PLACES if place != sentence.place]))
    name = sentence.name
    while name == sentence.name:
        name = _name(sentence.frame, sentence.noun, source)
    return replace(sentence, name=name)


def _without_tail(sentence: Sentence, source: random.Random) -> Sentence:
    return replace(sentence, tail=("", ""))


def _other_noun(sentence: Sentence, source: random.Random) -> Sentence:
    others = [noun for noun in sentence.frame.nouns if noun.english != sentence.noun.english]
    return replace(sentence, noun=pick(others, source))


ERRORS: Mapping[str, Callable[[Sentence, random.Random], Sentence]] = {
    "Modifiers or Adjectives": _other_adjective,
    "Numerical Values": _other_number,
    "Negation or Antonyms": _other_negation,
    "Named Entities": _other_entity,
    "Dropped Content": _without_tail,
    "Facts": _other_noun,
}
KINDS = tuple(ERRORS)
OPTIONS = len(KINDS)
