"""How scores change with the budget."""

from __future__ import annotations

from scbench.methods.budget import Budget
from scbench.report.figures.chart import Axis, Lines, Point
from scbench.report.figures.panels import panels
from scbench.report.figures.spots import Contender, Spot, contenders, spots
from scbench.report.figures.strict import INTERVALS, mark
from scbench.results.summary import Summary

NOTE = (
    "Mean strict score against the nominal budget, which is a label: what a method really stores and reads is in the "
    "figure of score against memory and in the tables. Methods without a budget, as dense, are marks at “none”. "
    + INTERVALS
)


def chart(summary: Summary, model: str) -> Lines | None:
    """Strict score (%) by budget; None where fewer than two budgets were asked for."""
    rows = contenders(summary, model)
    budgets = {summary.sweep.cells[cell].budget: row.budget for row in rows for cell in row.cells.values()}
    asked = [budget for budget in budgets if budget is not None]
    ticks = tuple(budgets[budget] for budget in sorted(asked, key=lambda budget: Budget(budget).order))
    if len(ticks) < 2:
        return None
    places = {text: place for place, text in enumerate((*ticks, ""))}

    def points(row: Contender, spot: Spot) -> list[Point]:
        return mark(summary, model, row, spot, places[row.budget])

    made = tuple(panel for _, panel in panels(spots(summary, model), rows, points, by_budget=False))
    x = Axis("budget", ticks=(*ticks, "none"))
    y = Axis("strict, %", low=-5, high=105)
    return Lines("score_budget", "Score by budget", NOTE, x, y, made) if made else None
