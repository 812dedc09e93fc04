"""Where the time of an answer goes."""

from __future__ import annotations

from math import isnan

from scbench.report.figures.chart import Axis, Bars, Part, Stacks
from scbench.report.figures.spots import contenders, spots
from scbench.results.summary import Summary

NOTE = (
    "Seconds as recorded with each turn, mean over turns, sessions and tasks. shared: spent once for all cells of the "
    "family; batch: spent once for all answers decoded together; own: spent for this cell. A bar shows what was "
    "recorded, not a method's speed: a run that measures speed decodes each method alone. A part without a mean is not "
    "drawn."
)

ORDER = ("rewrite", "prefill", "compress", "extend", "question", "decode", "fidelity", "diagnostics")


def chart(summary: Summary, model: str) -> Stacks | None:
    """Seconds by stage and scope, stacked, a panel per mode and mean over tasks; None where no time was recorded."""
    stages = sorted((stage for stage in summary.stages if stage.endswith("_s")), key=_place)
    places = spots(summary, model)
    means = [spot for spot in places if len(spot.titles) > 1]
    alone = [spot for spot in places if not any(set(spot.titles) <= set(mean.titles) for mean in means)]
    bars = []
    for spot in (*means, *alone):
        rows = [row for row in contenders(summary, model) if row.mode == spot.mode]
        parts = tuple(
            Part(_name(stage), tuple(row.value(spot, lambda cell, at=stage: summary.cost(cell, at)) for row in rows))  # type: ignore[misc]
            for stage in stages
        )
        if not all(isnan(value) for part in parts for value in part.values):
            bars.append(Bars(spot.title, tuple(row.name for row in rows), parts))
    return Stacks("stages", "Time by stage", NOTE, Axis("seconds", low=0), tuple(bars)) if bars else None


def _place(stage: str) -> int:
    """Stages in the order in which they happen; one that is not known here comes last."""
    name = stage.split("_")[0]
    return ORDER.index(name) if name in ORDER else len(ORDER)


def _name(stage: str) -> str:
    """`prefill_shared_s` -> `prefill (shared)`."""
    name, scope, _ = stage.rsplit("_", 2)
    return f"{name} ({scope})"
