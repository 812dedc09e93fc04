"""Every method on every task, at a glance."""

from __future__ import annotations

from math import isnan

from scbench.report.figures.chart import Grid, Heat
from scbench.report.figures.spots import contenders, spots
from scbench.results.summary import Summary

NOTE = "Mean strict score in %. A grey field is n/a."


def chart(summary: Summary, model: str) -> Heat | None:
    """Strict score (%) of methods (rows) on tasks (columns), a panel per mode; None where no cell has a mean."""
    grids = []
    for mode in summary.modes:
        here = [spot for spot in spots(summary, model) if spot.mode == mode]
        rows = [row for row in contenders(summary, model) if row.mode == mode]
        values = tuple(
            tuple(row.value(spot, lambda cell: summary.mean(cell, "strict")) for spot in here) for row in rows
        )
        if not all(isnan(value) for line in values for value in line):
            names = tuple(row.name for row in rows)
            grids.append(Grid(mode, names, tuple(spot.name for spot in here), values))
    return Heat("score_task", "Method by task", NOTE, "strict, %", 0, 100, tuple(grids)) if grids else None
