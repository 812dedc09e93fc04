"""Panels of lines: in every spot, a series per method, or per method and budget."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from scbench.report.figures.chart import Panel, Point, Series
from scbench.report.figures.spots import Contender, Spot
from scbench.report.figures.style import styles

Points = Callable[[Contender, Spot], list[Point]]


def panels(
    spots: Iterable[Spot], rows: Sequence[Contender], points: Points, *, by_budget: bool
) -> list[tuple[Spot, Panel]]:
    """A panel for every spot in which some row has points.

    With `by_budget` each row is a series; without, the budgets of a method are the points of one series, from left to
    right. A row without points has no mark; the panel's title counts them.
    """
    looks = styles((row.family, row.budget if by_budget else "") for row in rows)
    made = []
    for spot in spots:
        here = [(row, points(row, spot)) for row in rows if row.mode == spot.mode]
        series: dict[tuple[str, str], list[Point]] = {}
        names: dict[tuple[str, str], str] = {}
        for row, found in here:
            key = (row.family, row.budget if by_budget else "")
            names[key] = row.name if by_budget else row.family
            series.setdefault(key, []).extend(found)
        drawn = [
            Series(names[key], looks[key], tuple(sorted(found, key=lambda point: point.x)))
            for key, found in series.items()
            if found
        ]
        absent = sum(not found for _, found in here)
        if drawn:
            made.append((spot, Panel(spot.title + (f" (n/a: {absent})" if absent else ""), tuple(drawn))))
    return made
