"""All figures of a sweep: those for which it has data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from scbench.report.figures import attention, budgets, divergence, lengths, memory, stages, tasks, turns
from scbench.report.figures.chart import Chart
from scbench.report.figures.spots import models
from scbench.results.summary import Summary

SUBJECTS = (
    memory.chart,
    tasks.chart,
    turns.chart,
    budgets.chart,
    lengths.chart,
    stages.chart,
    divergence.kl_chart,
    divergence.tokens_chart,
)


def all_charts(summary: Summary, looks: Mapping[str, attention.Look]) -> list[Chart]:
    """The charts of every model, subject by subject; with several models each has its own, named and numbered.

    `looks` is what `attention.look` says of each cell.
    """
    named = models(summary)
    made = [[*_of_model(summary, model), *attention.charts(summary, model, looks)] for model in named]
    if len(named) < 2:
        return [chart for charts in made for chart in charts]
    return [
        replace(chart, name=f"{chart.name}_{number}", title=f"{chart.title}: {model}")
        for number, (model, charts) in enumerate(zip(named, made, strict=True), 1)
        for chart in charts
    ]


def _of_model(summary: Summary, model: str) -> list[Chart]:
    found: list[Chart | None] = [subject(summary, model) for subject in SUBJECTS]
    return [chart for chart in found if chart is not None]
