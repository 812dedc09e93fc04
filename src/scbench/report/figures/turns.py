"""How scores change from the first question to the last."""

from __future__ import annotations

from math import isnan

from scbench.report.figures.chart import Axis, Lines, Point
from scbench.report.figures.panels import panels
from scbench.report.figures.spots import Contender, Spot, contenders, spots
from scbench.results.summary import Summary

NOTE = (
    "Mean strict score at each turn, over sessions. A method that acts once, at the first prompt, has seen the first "
    "question and not the later ones. n/a: methods without a mean at any turn of a panel."
)


def chart(summary: Summary, model: str) -> Lines | None:
    """Strict score (%) by turn, from 1; None where there is one turn."""
    turns = summary.turns
    if len(turns) < 2:
        return None

    def points(row: Contender, spot: Spot) -> list[Point]:
        means = [(turn, row.value(spot, lambda cell, turn=turn: summary.turn(cell, turn))) for turn in turns]  # type: ignore[misc]
        return [Point(turn + 1, mean) for turn, mean in means if not isnan(mean)]

    made = panels(spots(summary, model), contenders(summary, model), points, by_budget=True)
    y = Axis("strict, %", low=-5, high=105)
    parts = tuple(panel for _, panel in made)
    return Lines("score_turn", "Score by turn", NOTE, Axis("turn", whole=True), y, parts) if parts else None
