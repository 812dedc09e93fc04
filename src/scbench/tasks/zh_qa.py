"""Zh.QA: short questions in Chinese about the people, places, objects and times of a long Chinese story."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from scbench.tasks.chinese_stories import CHINESE
from scbench.tasks.stories import Idiom
from scbench.tasks.story_task import StoryTask

QUESTIONS = {
    "giver": "{0.person}的{0.object}是谁送的？",
    "place": "{0.person}把{0.object}藏在了哪里？",
    "object": "{0.person}藏在{0.place}的是什么东西？",
    "time": "{0.person}是在哪一年的哪个节气动身回家的？",
}
PERSON = re.compile("^...")  # every question begins with the name, which has three characters


@dataclass(frozen=True)
class ZhQA(StoryTask):
    """Who, where, what and when, in Chinese."""

    name: ClassVar[str] = "zh_qa"
    title: ClassVar[str] = "Zh.QA"
    group: ClassVar[str] = "Semantic retrieval"
    metric: ClassVar[str] = "Accuracy"
    published: ClassVar[str] = "scbench_qa_chn"
    idiom: ClassVar[Idiom] = CHINESE
    questions: ClassVar[Mapping[str, str]] = QUESTIONS
    person: ClassVar[re.Pattern[str]] = PERSON
