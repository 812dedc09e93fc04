"""Stories in Chinese."""

from __future__ import annotations

import random

from scbench.tasks.chinese_vocabulary import (
    BRANCH,
    DID,
    FOLK,
    GIVEN,
    GIVEN_END,
    GROUND,
    MATTER,
    MOVED,
    OBJECT,
    OBJECT_LOOK,
    PLACE,
    PLACE_LOOK,
    SOLAR_TERM,
    STEM,
    SURNAME,
    WEATHER,
    WHEN,
    WITNESS,
)
from scbench.tasks.stories import Idiom

_GIFT = (
    "{giver}在秋天送给{person}一件礼物，正是那{object}，不求任何回报。",
    "把{object}交到{person}手里的是{giver}，外面还包着一页旧历书。",
    "{person}从{giver}那里得到了{object}，当时一顿漫长的晚饭刚刚吃完。",
    "{object}是{giver}送给{person}的，还附着一张谁也看不懂的字条。",
    "{giver}硬要把{object}塞给{person}，怎么也不肯收回去。",
)
_HIDING = (
    "思量再三，{person}把{object}藏在了{place}。",
    "除了{person}，没有人知道{object}如今藏在{place}。",
    "在{place}，一块松动的木板后面，{person}给{object}找到了藏身之处。",
    "{place}是{person}选来藏{object}的地方。",
    "于是{person}带着{object}来到{place}，把它藏了起来。",
)
_LEAVING = (
    "{time}那天，{person}动身回家。",
    "不早不晚，{person}正是在{time}动身回家的。",
    "门房的册子上写着：{person}于{time}动身回家。",
    "一直等到{time}，{person}才动身回家。",
)
_FILLER = (
    ("{}{}{}，连{}都不见了踪影。", (WEATHER, MOVED, GROUND, WITNESS)),
    ("{}，{}{}{}。", (WHEN, FOLK, DID, MATTER)),
    ("在{}旁边，{}{}{}。", (GROUND, FOLK, DID, MATTER)),
    ("{}{}{}的时候，有人{}{}。", (WEATHER, MOVED, GROUND, DID, MATTER)),
    ("没有人记得{}为什么{}{}，{}更不记得。", (FOLK, DID, MATTER, FOLK)),
    ("{}，有人说起{}，可{}只{}{}。", (WHEN, MATTER, FOLK, DID, MATTER)),
)


def _name(source: random.Random) -> str:
    """One of 160,000 names, all of three characters: people for 15M tokens."""
    return source.choice(SURNAME) + source.choice(GIVEN) + source.choice(GIVEN_END)


def _object(source: random.Random) -> str:
    return source.choice(OBJECT_LOOK) + source.choice(OBJECT)


def _place(source: random.Random) -> str:
    return source.choice(PLACE_LOOK) + source.choice(PLACE)


def _time(source: random.Random) -> str:
    year = source.randrange(60)
    return f"{STEM[year % 10]}{BRANCH[year % 12]}年{source.choice(SOLAR_TERM)}"


CHINESE = Idiom("第{}章", _GIFT, _HIDING, _LEAVING, _FILLER, "", _name, _object, _place, _time)
