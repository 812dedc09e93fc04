"""Puzzles of the kind of BIG-Bench Hard's date understanding: count days from a date that is told indirectly."""

from __future__ import annotations

import random
from datetime import date

from scbench.tasks.puzzles import Puzzle

OPTIONS = 6
MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
FORMS = ("{month} {day}, {year}", "{number}/{day}/{year}", "{day} {month} {year}")
TOLD = (  # a sentence, and how many days before today its date is, for n days
    ("Today is {date}.", 0),
    ("Yesterday was {date}.", 1),
    ("Tomorrow is {date}.", -1),
    ("The day before yesterday was {date}.", 2),
    ("The day after tomorrow will be {date}.", -2),
)
TOLD_BY_DAYS = (("{name} arrived {n} days ago, on {date}.", 1), ("{name} will leave in {n} days, on {date}.", -1))
ASKED = (("today", 0), ("tomorrow", 1), ("yesterday", -1), ("one week from today", 7), ("one week ago", -7))
ASKED_BY_DAYS = (("{n} days from today", 1), ("{n} days ago", -1), ("{n} weeks from today", 7), ("{n} weeks ago", -7))
NAMES = ("Ada", "Ben", "Clara", "David", "Emma", "Felix", "Grace", "Henry", "Iris", "Jonas", "Kate", "Louis")
GAPS = (-3653, -365, -31, -7, -2, -1, 0, 1, 2, 7, 31, 365, 3653)  # days: what a slip costs

_FIRST, _LAST = date(1901, 1, 1).toordinal(), date(2099, 12, 31).toordinal()


def puzzle(source: random.Random) -> Puzzle:
    """A date to be told in MM/DD/YYYY.

    Right and wrong dates are one draw of gaps, of which any may be the right one: so the right date is not in the
    middle of the others, nor the one that most resembles them.
    """
    today = source.randint(_FIRST, _LAST)
    told = _told(today, source)
    phrase, days = _asked(source)
    right, *wrong = source.sample(GAPS, OPTIONS)
    answer = today + days
    return Puzzle(
        text=f"{told} What is the date {phrase} in MM/DD/YYYY?",
        right=_written(answer),
        wrong=tuple([_written(answer + gap - right) for gap in wrong]),
    )


def _told(today: int, source: random.Random) -> str:
    if source.random() < 0.5:
        form, days = source.choice(TOLD)
        name, n = "", 1
    else:
        form, days = source.choice(TOLD_BY_DAYS)
        name, n = source.choice(NAMES), source.randint(3, 60)
    day = date.fromordinal(today - days * n)
    text = source.choice(FORMS).format(month=MONTHS[day.month - 1], number=day.month, day=day.day, year=day.year)
    return form.format(name=name, n=n, date=text)


def _asked(source: random.Random) -> tuple[str, int]:
    if source.random() < 0.5:
        return source.choice(ASKED)
    form, days = source.choice(ASKED_BY_DAYS)
    n = source.randint(2, 20)
    return form.format(n=n), days * n


def _written(ordinal: int) -> str:
    iso = date.fromordinal(ordinal).isoformat()
    return f"{iso[5:7]}/{iso[8:]}/{iso[:4]}"
