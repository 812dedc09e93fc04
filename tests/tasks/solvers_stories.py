"""Reference solvers: they answer a question from the context's text alone, without the generators' code."""

from __future__ import annotations

import re
from collections.abc import Sequence

import solvers

NAME = r"([\u4e00-\u9fff]{3})"
WORD = r"([\u4e00-\u9fff]{3,6}?)"
GIVEN = (  # person, object, giver
    (rf"(?<=。){NAME}在秋天送给{NAME}一件礼物，正是那{WORD}，", 2, 3, 1),
    (rf"(?<=。)把{WORD}交到{NAME}手里的是{NAME}，", 2, 1, 3),
    (rf"(?<=。){NAME}从{NAME}那里得到了{WORD}，", 1, 3, 2),
    (rf"(?<=。){WORD}是{NAME}送给{NAME}的，", 3, 1, 2),
    (rf"(?<=。){NAME}硬要把{WORD}塞给{NAME}，", 3, 2, 1),
)
HIDDEN = (  # person, object, place
    (rf"思量再三，{NAME}把{WORD}藏在了{WORD}。", 1, 2, 3),
    (rf"除了{NAME}，没有人知道{WORD}如今藏在{WORD}。", 1, 2, 3),
    (rf"在{WORD}，一块松动的木板后面，{NAME}给{WORD}找到了藏身之处。", 2, 3, 1),
    (rf"(?<=。){WORD}是{NAME}选来藏{WORD}的地方。", 2, 3, 1),
    (rf"于是{NAME}带着{WORD}来到{WORD}，把它藏了起来。", 1, 2, 3),
)
TIME = r"([\u4e00-\u9fff]{2}年[\u4e00-\u9fff]{2})"
LEFT = (  # person, time
    (rf"(?<=。){TIME}那天，{NAME}动身回家。", 2, 1),
    (rf"不早不晚，{NAME}正是在{TIME}动身回家的。", 1, 2),
    (rf"门房的册子上写着：{NAME}于{TIME}动身回家。", 1, 2),
    (rf"一直等到{TIME}，{NAME}才动身回家。", 2, 1),
)


def _facts(context: str, forms: tuple[tuple[str | int, ...], ...]) -> list[tuple[str, ...]]:
    return [
        tuple(match[int(group)] for group in groups)
        for form, *groups in forms
        for match in re.finditer(str(form), context)
    ]


def zh_qa(context: str, question: str) -> str:
    if match := re.fullmatch(rf"{NAME}的(.+)是谁送的？", question):
        (answer,) = {giver for *known, giver in _facts(context, GIVEN) if known == list(match.groups())}
    elif match := re.fullmatch(rf"{NAME}把(.+)藏在了哪里？", question):
        (answer,) = {place for *known, place in _facts(context, HIDDEN) if known == list(match.groups())}
    elif match := re.fullmatch(rf"{NAME}藏在(.+)的是什么东西？", question):
        (answer,) = {what for who, what, place in _facts(context, HIDDEN) if (who, place) == match.groups()}
    elif match := re.fullmatch(rf"{NAME}是在哪一年的哪个节气动身回家的？", question):
        (answer,) = {time for who, time in _facts(context, LEFT) if who == match[1]}
    else:
        raise AssertionError(f"what is asked? {question}")
    return answer


def en_multichoice(context: str, question: str, options: Sequence[str]) -> str:
    """The letter of the one option that answers."""
    answer = solvers.en_qa(context, question)
    (letter,) = [letter for letter, option in zip("ABCD", options, strict=True) if option == answer]
    return letter
