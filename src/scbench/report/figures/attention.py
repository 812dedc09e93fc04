"""Where dense attention looks while an answer grows, and how much of that a cache still holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan, nan
from statistics import fmean

from scbench.record import Outcome, Record
from scbench.report.figures.chart import Axis, Lines, Point
from scbench.report.figures.panels import panels
from scbench.report.figures.spots import Contender, Spot, contenders, spots
from scbench.results.summary import Summary

Look = Mapping[str, Mapping[int, float]]  # by measure, then step
WEIGHTS = (
    "Mean over full-attention layers, key-value heads, turns and sessions; later steps have the longer answers only."
)
MEASURES = {
    "mass": ("attention_mass", "Attention on what the cache holds", "share of dense attention"),
    "since_compression": (
        "attention_compression",
        "Most attended positions, against the moment of compression",
        "share in common",
    ),
    "since_turn_before": (
        "attention_turn",
        "Most attended positions, against the turn before",
        "share in common",
    ),
}


def look(records: Sequence[Record]) -> Look:
    """A cell's measures (each in [0, 1]) by step: the mean over a session's turns, then over sessions.

    Empty without diagnostics; turns whose outcome is not `ok` do not count.
    """
    found: dict[str, dict[int, dict[str, list[float]]]] = {}
    for record in records:
        if record.diagnostics is not None and record.outcome is Outcome.OK:
            for measure in MEASURES:
                for step, value in record.diagnostics.by_step(measure):
                    found.setdefault(measure, {}).setdefault(step, {}).setdefault(record.session, []).append(value)
    return {
        measure: {step: fmean(map(fmean, sessions.values())) for step, sessions in sorted(steps.items())}
        for measure, steps in found.items()
    }


def charts(summary: Summary, model: str, looks: Mapping[str, Look]) -> list[Lines]:
    """A chart per measure that some cell has; `looks` by cell."""
    return [chart for measure in MEASURES if (chart := _chart(measure, summary, model, looks))]


def _chart(measure: str, summary: Summary, model: str, looks: Mapping[str, Look]) -> Lines | None:
    def points(row: Contender, spot: Spot) -> list[Point]:
        seen = [looks[row.cells[title]].get(measure, {}) for title in spot.titles if title in row.cells]
        steps = sorted({step for look in seen for step in look})
        means = [(step, row.value(spot, lambda cell, at=step: _at(looks, cell, measure, at))) for step in steps]  # type: ignore[misc]
        return [Point(step, mean) for step, mean in means if not isnan(mean)]

    made = panels(spots(summary, model), contenders(summary, model), points, by_budget=True)
    name, title, unit = MEASURES[measure]
    parts = tuple(panel for _, panel in made)
    x = Axis("answer tokens before this step", low=0, whole=True)
    return Lines(name, title, WEIGHTS, x, Axis(unit, low=-0.03, high=1.03), parts) if parts else None


def _at(looks: Mapping[str, Look], cell: str, measure: str, step: int) -> float:
    return looks[cell].get(measure, {}).get(step, nan)
