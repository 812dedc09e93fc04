"""En.QA: short questions about the people, places, objects and times of a long story."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from scbench.tasks.base import Task, rotation
from scbench.tasks.fit import Encoder, Supply
from scbench.tasks.session import Session, Turn
from scbench.tasks.stories import Scene, scenes, tell

QUESTIONS = {
    "giver": "Who gave {0.person} the {0.object}?",
    "place": "Where did {0.person} hide the {0.object}?",
    "object": "What did {0.person} hide in the {0.place}?",
    "time": "At what time did {0.person} set out for home?",
}


@dataclass(frozen=True)
class EnQA(Task):
    """Questions about different scenes, anywhere in the story; each names a person whom only its scene has."""

    name: ClassVar[str] = "en_qa"
    title: ClassVar[str] = "En.QA"
    group: ClassVar[str] = "Semantic retrieval"
    metric: ClassVar[str] = "Accuracy"
    published: ClassVar[str] = "scbench_qa_eng"

    def generate(self, index: int, tokenizer: Encoder) -> Session:
        """People, places, objects and times in turn, starting with another kind in each session."""
        story = Supply(scenes(self.random(index, "story")))
        fitted = self.fitted(lambda count: tell(story.first(count)), tokenizer, sample=8)
        self.need(self.turns, fitted.items, "scenes")
        asked = self.random(index, "questions").sample(story.first(fitted.items), self.turns)
        kinds = rotation(tuple(QUESTIONS), index, self.turns)
        return self.generated(index, fitted, (_turn(kind, scene) for kind, scene in zip(kinds, asked, strict=True)))


def _turn(kind: str, scene: Scene) -> Turn:
    return Turn(QUESTIONS[kind].format(scene), getattr(scene, kind))
