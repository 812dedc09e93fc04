"""Puzzles of the kind of BIG-Bench Hard's date understanding: count days from a date that is told indirectly."""

from __future__ import annotations

import random
from datetime import date

from scbench.tasks.puzzles import Puzzle, pick

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
DAYS_TOLD, UNITS_ASKED = range(3, 61), range(2, 21)
GAPS = (-3653, -365, -31, -7, -2, -1, 0, 1, 2, 7, 31, 365, 3653)  # days: what a slip costs

_TODAYS = range(date(1901, 1, 1).toordinal(), date(2100, 1, 1).toordinal())


def puzzle(source: random.Random) -> Puzzle:
    """A date to be told in MM/DD/YYYY.

    Right and wrong dates are one draw of gaps, of which any may be the right one: so the right date is not in the
    middle of the others, nor the one that most resembles them.
    """
    today = pick(_TODAYS, source)
    told = _told(today, source)
    phrase, days = _asked(source)
    right, *wrong = sorted(GAPS, key=lambda _: source.random())[:OPTIONS]
    answer = today + days
    return Puzzle(
        text=f"{told} What is the date {phrase} in MM/DD/YYYY?",
        right=_written(answer),
        wrong=tuple([_written(answer + gap - right) for gap in wrong]),
    )


def _told(today: int, source: random.Random) -> str:
    if source.random() < 0.5:
        form, days = pick(TOLD, source)
        name, n = "", 1
    else:
        form, days = pick(TOLD_BY_DAYS, source)
        name, n = pick(NAMES, source), pick(DAYS_TOLD, source)
    day = date.fromordinal(today - days * n)
    text = pick(FORMS, source).format(month=MONTHS[day.month - 1], number=day.month, day=day.day, year=day.year)
    return form.format(name=name, n=n, date=text)


def _asked(source: random.Random) -> tuple[str, int]:
    if source.random() < 0.5:
        return pick(ASKED, source)
    form, days = pick(ASKED_BY_DAYS, source)
    n = pick(UNITS_ASKED, source)
    return form.format(n=n), days * n


def _written(ordinal: int) -> str:
    iso = date.fromordinal(ordinal).isoformat()
    return f"{iso[5:7]}/{iso[8:]}/{iso[:4]}"
