"""How far a cache is from the dense one, also where both score nothing."""

from __future__ import annotations

from math import isnan

from scbench.report.figures.chart import Axis, Lines, Point
from scbench.report.figures.panels import panels
from scbench.report.figures.spots import Contender, Spot, contenders, spots
from scbench.results.statistics import cell_means, counted
from scbench.results.summary import Summary

MEASURES = {
    "kl_to_dense": (
        "divergence_kl",
        "Divergence from dense",
        "KL(dense ‖ cache), nats",
        "Mean divergence of the next-token distributions over the gold answer's tokens, as each cache sees them: 0 is "
        "the dense cache itself, and `dense_repeat` shows the noise of the machine.",
    ),
    "common_tokens": (
        "divergence_tokens",
        "Agreement with dense",
        "common tokens",
        "Mean number of tokens that an answer has in common with dense's before the first that differs; dense's own "
        "mark is the mean length of its answers.",
    ),
}


def kl_chart(summary: Summary, model: str) -> Lines | None:
    """KL to dense (nats) against stored KV (% of dense); None where it was not recorded."""
    return _chart("kl_to_dense", summary, model)


def tokens_chart(summary: Summary, model: str) -> Lines | None:
    """Tokens in common with dense's answer against stored KV (% of dense); None where ids were not kept."""
    return _chart("common_tokens", summary, model)


def _chart(measure: str, summary: Summary, model: str) -> Lines | None:
    means = cell_means(counted(summary.scored.scores), (measure,))[measure].to_dict()

    def points(row: Contender, spot: Spot) -> list[Point]:
        share = row.value(spot, lambda cell: summary.mean(cell, "kv_share"))
        value = row.value(spot, lambda cell: float(means.get(cell, float("nan"))))
        return [] if isnan(share) or isnan(value) else [Point(share, value, row.name)]

    made = panels(spots(summary, model), contenders(summary, model), points, by_budget=False)
    name, title, unit, note = MEASURES[measure]
    parts = tuple(panel for _, panel in made)
    x = Axis("stored KV, % of dense", low=0)
    return Lines(name, title, note, x, Axis(unit, low=0), parts) if parts else None
