"""What the three tasks about stories share: which scenes are asked about, and which can go."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from scbench.tasks.base import Group, Task, rotation
from scbench.tasks.fit import Encoder, Supply
from scbench.tasks.session import Session, Turn
from scbench.tasks.stories import PARAGRAPH, Idiom, Scene, scenes, scenes_without, tell


def spread(kinds: Sequence[str], asked: Sequence[Scene]) -> Iterator[tuple[str, Scene]]:
    """Each turn's kind of fact with a scene: the scenes in turn, and no fact twice."""
    known: set[tuple[str, str]] = set()
    for turn, kind in enumerate(kinds):
        order = (asked[(turn + step) % len(asked)] for step in range(len(asked)))
        scene = next(scene for scene in order if (kind, scene.person) not in known)
        known.add((kind, scene.person))
        yield kind, scene


@dataclass(frozen=True)
class StoryTask(Task):
    """Questions about different scenes, anywhere in the story; each names a person whom only its scene has.

    In a story of fewer scenes than turns, some are asked about twice, after different kinds of facts.

    Class attributes: `idiom`; `questions`, one form per kind of fact (an attribute of `Scene`); `person`, a pattern
    that finds the person's name in a question.
    """

    idiom: ClassVar[Idiom]
    questions: ClassVar[Mapping[str, str]]
    person: ClassVar[re.Pattern[str]]

    def generate(self, index: int, tokenizer: Encoder) -> Session:
        """People, places, objects and times in turn, starting with another kind in each session."""
        story = Supply(scenes(self.random(index, "story"), self.idiom))
        fitted = self.fitted(lambda count: tell(story.first(count), self.idiom), tokenizer, sample=8)
        self.need(-(-self.turns // len(self.questions)), fitted.items, "scenes")
        told = story.first(fitted.items)
        asked = self.random(index, "questions").sample(told, min(self.turns, len(told)))
        kinds = rotation(tuple(self.questions), index, self.turns)
        return self.generated(index, fitted, self.ask(index, spread(kinds, asked), story, fitted.items))

    def ask(self, index: int, facts: Iterator[tuple[str, Scene]], story: Supply[Scene], told: int) -> Iterator[Turn]:
        """The turns of session `index` that ask for these facts of the story's first `told` scenes."""
        return (self.question(kind, scene) for kind, scene in facts)

    def question(self, kind: str, scene: Scene) -> Turn:
        """The turn that asks for one kind of fact of a scene."""
        return Turn(self.questions[kind].format(scene), getattr(scene, kind))

    def droppable(self, session: Session) -> Sequence[Group]:
        """The scenes without a person that is asked about, those with an option last; of a published book, nothing."""
        if self.data is not None:
            return ()
        people = frozenset(name for turn in session.turns for name in self.person.findall(turn.question))
        options = frozenset(option for turn in session.turns for option in turn.options)
        return scenes_without(session.context, people, options, self.idiom)

    def answer_kept(self, turn: Turn, whole: str, kept: str) -> bool:
        """Whether the scene that answers still stands as a whole; of a published book, whether the answer does."""
        people = [] if self.data is not None else self.person.findall(turn.question)
        answering = [
            paragraph
            for paragraph in whole.split(PARAGRAPH)
            if str(turn.answer) in paragraph and any(person in paragraph for person in people)
        ]
        return (
            all(paragraph in kept for paragraph in answering) if answering else super().answer_kept(turn, whole, kept)
        )
