"""En.QA: short questions about the people, places, objects and times of a long story."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from scbench.tasks.english_stories import ENGLISH
from scbench.tasks.stories import Idiom
from scbench.tasks.story_task import StoryTask

QUESTIONS = {
    "giver": "Who gave {0.person} the {0.object}?",
    "place": "Where did {0.person} hide the {0.object}?",
    "object": "What did {0.person} hide in the {0.place}?",
    "time": "At what time did {0.person} set out for home?",
}
PERSON = re.compile(r"[A-Z]\w+ [A-Z]\w+")


@dataclass(frozen=True)
class EnQA(StoryTask):
    """Who, where, what and when, in English."""

    name: ClassVar[str] = "en_qa"
    title: ClassVar[str] = "En.QA"
    group: ClassVar[str] = "Semantic retrieval"
    metric: ClassVar[str] = "Accuracy"
    published: ClassVar[str] = "scbench_qa_eng"
    idiom: ClassVar[Idiom] = ENGLISH
    questions: ClassVar[Mapping[str, str]] = QUESTIONS
    person: ClassVar[re.Pattern[str]] = PERSON
