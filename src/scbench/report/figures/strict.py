"""Marks whose height is a mean strict score, with its interval."""

from __future__ import annotations

from math import isnan

from scbench.report.figures.chart import Point
from scbench.report.figures.spots import Contender, Spot
from scbench.results.summary import Summary

INTERVALS = "Bars: 95 % intervals over contexts, where there are enough."


def mark(summary: Summary, model: str, row: Contender, spot: Spot, x: float) -> list[Point]:
    """A row's mean strict score (%) in a spot, at `x`; no mark where one of them is n/a."""
    strict = row.value(spot, lambda cell: summary.mean(cell, "strict"))
    if isnan(x) or isnan(strict):
        return []
    if len(spot.titles) == 1:
        sure = summary.interval(row.cells[spot.titles[0]])
    else:
        sure = summary.overall(model, row.row, row.setting, spot.mode, spot.kind)
    return [Point(x, strict, row.name, sure.low, sure.high)]
