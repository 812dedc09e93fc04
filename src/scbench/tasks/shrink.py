"""Shrinking a context by whole items, so that it fits and every question keeps its answer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from heapq import merge

from scbench.tasks.base import Group
from scbench.tasks.session import Session

Span = tuple[int, int]


def drop(session: Session, groups: Sequence[Group]) -> Session:
    """The session without the characters of these groups; its counts and hashes still tell of the whole context."""
    if not groups:
        return session
    kept, place = [], 0
    for start, stop in merge(*(sorted(group) for group in groups)):
        kept.append(session.context[place:start])
        place = stop
    return replace(session, context="".join(kept) + session.context[place:])


def fewest(count: int, excess: Callable[[int], int]) -> int | None:
    """The number n of items to drop, of `count`, where n fit and n - 1 do not; None where not even all do.

    `excess(n)` is how many tokens are too many without n items: 1 or more for 0 items, and about linear, so that
    the line through both ends of what is still open leads there in a few steps. Every third step halves instead.
    """
    low, over = 0, excess(0)
    high, under = count, excess(count)
    if under > 0:
        return None
    step = 0
    while high - low > 1:
        share = 0.5 if step % 3 == 2 else over / (over - under)
        middle = min(max(low + round((high - low) * share), low + 1), high - 1)
        found = excess(middle)
        low, over, high, under = (middle, found, high, under) if found > 0 else (low, over, middle, found)
        step += 1
    return high


def separated(spans: Sequence[Span], kept: Collection[int]) -> dict[int, Span]:
    """The spans that take an item out of a list with one separator, for every item but those at the `kept` places.

    Items before the last kept one go with the separator behind them, later ones with that before them: so any of
    them may go together and the list stays one. Empty where nothing is kept.
    """
    if not kept:
        return {}
    anchor = max(kept)
    return {
        place: (start, spans[place + 1][0]) if place < anchor else (spans[place - 1][1], stop)
        for place, (start, stop) in enumerate(spans)
        if place not in kept
    }
