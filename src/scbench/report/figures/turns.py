"""How scores change from the first question to the last."""

from __future__ import annotations

from math import isnan

from scbench.report.figures.chart import Axis, Lines, Point
from scbench.report.figures.panels import panels
from scbench.report.figures.spots import Contender, Spot, contenders, spots
from scbench.report.figures.strict import INTERVALS
from scbench.results.summary import Summary

NOTE = (
    "Mean strict score at each turn, over sessions. A method that acts once, at the first prompt, has seen the first "
    f"question and not the later ones. {INTERVALS} n/a: methods without a mean at any turn of a panel."
)


def chart(summary: Summary, model: str) -> Lines | None:
    """Strict score (%) by turn, from 1; None where there is one turn."""
    turns = summary.turns
    if len(turns) < 2:
        return None

    def points(row: Contender, spot: Spot) -> list[Point]:
        return [point for turn in turns for point in _at(summary, model, row, spot, turn)]

    made = panels(spots(summary, model), contenders(summary, model), points, by_budget=True)
    y = Axis("strict, %", low=-5, high=105)
    parts = tuple(panel for _, panel in made)
    return Lines("score_turn", "Score by turn", NOTE, Axis("turn", whole=True), y, parts) if parts else None


def _at(summary: Summary, model: str, row: Contender, spot: Spot, turn: int) -> list[Point]:
    mean = row.value(spot, lambda cell: summary.turn(cell, turn))
    if isnan(mean):
        return []
    if len(spot.titles) == 1:
        sure = summary.interval_at(row.cells[spot.titles[0]], turn)
    else:
        sure = summary.overall_at(model, row.row, row.setting, spot.mode, spot.kind, turn)
    return [Point(turn + 1, mean, row.name, sure.low, sure.high)]
