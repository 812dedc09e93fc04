"""En.MultiChoice: questions about a long story, each with four answers to choose from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, count
from typing import Any, ClassVar

from scbench.tasks.base import FieldError, kind_of, text_field
from scbench.tasks.en_qa import PERSON, QUESTIONS
from scbench.tasks.english_stories import ENGLISH
from scbench.tasks.fit import Supply
from scbench.tasks.session import Turn
from scbench.tasks.stories import Idiom, Scene
from scbench.tasks.story_task import StoryTask

OPTIONS = 4
DRAWN = 16  # scenes, drawn at random, whose facts are tried as wrong options


@dataclass(frozen=True)
class EnMultiChoice(StoryTask):
    """The questions of En.QA; the wrong options are what other scenes of the story say of the same kind."""

    name: ClassVar[str] = "en_multichoice"
    title: ClassVar[str] = "En.MultiChoice"
    group: ClassVar[str] = "Semantic retrieval"
    metric: ClassVar[str] = "Accuracy"
    published: ClassVar[str] = "scbench_choice_eng"
    idiom: ClassVar[Idiom] = ENGLISH
    questions: ClassVar[Mapping[str, str]] = QUESTIONS
    person: ClassVar[re.Pattern[str]] = PERSON

    def ask(self, index: int, facts: Iterator[tuple[str, Scene]], story: Supply[Scene], told: int) -> Iterator[Turn]:
        """In a story that says too little, wrong options also come from how it would go on."""
        source = self.random(index, "options")
        for number, (kind, scene) in enumerate(facts):
            turn = self.question(kind, scene)
            drawn = chain(source.sample(range(told), min(told, DRAWN)), count(told))
            said = (getattr(story.first(place + 1)[place], kind) for place in drawn)
            options = _others(said, str(turn.answer))
            options.insert(self._gold_place(index, number), str(turn.answer))
            yield replace(turn, options=tuple(options))

    def parse_turn(self, raw: Mapping[str, Any]) -> Turn:
        """A published row's turn, whose answer is the text of one of four options; raises `FieldError`."""
        turn = super().parse_turn(raw)
        options = raw.get("options")
        if not isinstance(options, list):
            raise FieldError("options", f"expected a list, found {kind_of(options)}")
        if len(options) != OPTIONS:
            raise FieldError("options", f"expected {OPTIONS} texts, found {len(options)}")
        texts = tuple(text_field(f"options[{place}]", option) for place, option in enumerate(options))
        if turn.answer not in texts:
            raise FieldError("answer", "is none of the options")
        return replace(turn, options=texts)

    def _gold_place(self, index: int, turn: int) -> int:
        """Where the right option stands: in four sessions in a row, once at each place, in an order of the turn's."""
        group, member = divmod(index, OPTIONS)
        return self.random(group, f"places of turn {turn}").sample(range(OPTIONS), OPTIONS)[member]


def _others(said: Iterator[str], answer: str) -> list[str]:
    """The first three different texts that are not the answer."""
    others: dict[str, None] = {}
    while len(others) < OPTIONS - 1:
        text = next(said)
        if text != answer:
            others[text] = None
    return list(others)
