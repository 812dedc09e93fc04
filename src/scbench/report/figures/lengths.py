"""How scores change with the length of the context."""

from __future__ import annotations

from math import isnan

from scbench.report.figures.chart import Axis, Lines, Point
from scbench.report.figures.panels import panels
from scbench.report.figures.spots import Contender, Spot, contenders
from scbench.results.summary import Summary

NOTE = "Mean strict score against the length of the context that the task was asked for."
UNITS = {"length": "context, tokens", "size": "context, items"}  # by the option of a task


def chart(summary: Summary, model: str) -> Lines | None:
    """Strict score (%) by the length of contexts; None where no task has several lengths."""
    return next(filter(None, (_by(option, summary, model) for option in UNITS)), None)


def _by(option: str, summary: Summary, model: str) -> Lines | None:
    lengths: dict[str, float] = {}
    swept: dict[tuple[str, str], dict[str, None]] = {}  # titles by mode and the title without its length
    for cell, label in summary.labels.items():
        length = summary.sweep.cells[cell].task.options.get(option)
        if label.model == model and length is not None:
            lengths[label.title] = float(length)
            task = label.title.replace(f" {option}={length}", "")
            swept.setdefault((label.mode, task), {})[label.title] = None

    def points(row: Contender, spot: Spot) -> list[Point]:
        marks = [(title, summary.mean(row.cells.get(title), "strict")) for title in spot.titles]
        return [Point(lengths[title], strict, title) for title, strict in marks if not isnan(strict)]

    places = [
        Spot(mode, task, tuple(titles), tuple(summary.tasks([*titles])))
        for (mode, task), titles in swept.items()
        if len(titles) > 1
    ]
    made = tuple(panel for _, panel in panels(places, contenders(summary, model), points, by_budget=True))
    x = Axis(UNITS[option], log=True)
    y = Axis("strict, %", low=-5, high=105)
    return Lines("score_length", "Score by length", NOTE, x, y, made) if made else None
