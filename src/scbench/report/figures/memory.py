"""What an answer's score costs in stored key-value bytes, and which methods nothing else beats in both."""

from __future__ import annotations

from collections.abc import Iterable

from scbench.report.figures.chart import Axis, Lines, Panel, Point, Series
from scbench.report.figures.panels import panels
from scbench.report.figures.spots import Contender, Spot, contenders, spots
from scbench.report.figures.strict import INTERVALS, mark
from scbench.report.figures.style import FRONT
from scbench.results.summary import Summary

NOTE = (
    "Mean strict score against the mean bytes of key-value cache stored at the start of an answer; the budgets of one "
    "method are joined. Dotted: the Pareto front, the settings that no other one beats in both score and bytes "
    "(bounds, which are no methods to choose, left out), drawn through means. n/a: methods without a mean in a panel. "
    + INTERVALS
)


def chart(summary: Summary, model: str) -> Lines | None:
    """Strict score (%) against stored KV (MiB); None where no cell has both."""

    def points(row: Contender, spot: Spot) -> list[Point]:
        return stored_and_strict(summary, model, row, spot)

    rows = contenders(summary, model)
    made = tuple(
        Panel(panel.title, (*panel.series, front_series(spot, rows, summary, model)))
        for spot, panel in panels(spots(summary, model), rows, points, by_budget=False)
    )
    y = Axis("strict, %", low=-5, high=105)
    return Lines("score_memory", "Score against memory", NOTE, Axis("stored KV, MiB", low=0), y, made) if made else None


def stored_and_strict(summary: Summary, model: str, row: Contender, spot: Spot) -> list[Point]:
    """A row's mark in a spot: stored MiB and strict score; none where one of them is n/a."""
    return mark(summary, model, row, spot, row.value(spot, lambda cell: summary.mean(cell, "kv_stored")))


def front(points: Iterable[Point]) -> list[Point]:
    """The points that no other beats in one coordinate without losing in the other: x small, y large; x rises."""
    best: list[Point] = []
    for point in sorted(points, key=lambda point: (point.x, -point.y)):
        if not best or point.y > best[-1].y:
            best.append(point)
    return best


def front_series(spot: Spot, rows: Iterable[Contender], summary: Summary, model: str) -> Series:
    """The front of a spot as steps: with so many bytes, no method of the sweep has a higher mean."""
    marks = [
        point
        for row in rows
        if row.mode == spot.mode and not row.bound
        for point in stored_and_strict(summary, model, row, spot)
    ]
    steps: list[Point] = []
    for point in front(marks):
        if steps:
            steps.append(Point(point.x, steps[-1].y, point.text))
        steps.append(Point(point.x, point.y, point.text))
    return Series("Pareto front", FRONT, tuple(steps))
