"""Means, with the weights that every table of scbench uses."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import pandas as pd

from scbench.record import Outcome

WEIGHTS = (
    "Turns weigh equally inside a session, sessions inside a task, tasks inside a mean over tasks; a task that stands "
    "there several times (at two lengths) has the weight of one. "
    "Only turns with outcome `ok` enter a mean; the others are counted. "
    "A mean that lacks one of its parts is n/a, never 0. Generated data (gen), published data and their "
    "floors (no context, shuffled context) have means of their own; tasks that are not SCBench's enter no mean over "
    "tasks."
)


def counted(scores: pd.DataFrame) -> pd.DataFrame:
    """The turns that enter method means: those whose outcome is `ok`."""
    return scores[scores["outcome"] == Outcome.OK.value]


def cell_means(turns: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Mean of `columns` per cell: over the turns of each session, then over sessions.

    Index: cell. A cell without turns has no row; a missing value in one turn makes its cell's mean NaN.
    """
    sessions = turns.groupby(["cell", "session"])[list(columns)].mean(skipna=False)
    return sessions.groupby("cell").mean(skipna=False)


def turn_means(turns: pd.DataFrame, column: str) -> pd.Series[float]:
    """Mean of `column` per cell and turn, over sessions. Index: (cell, turn)."""
    return turns.groupby(["cell", "turn"])[column].mean(skipna=False)


def mean_of_tasks(means: Iterable[float], tasks: Sequence[str]) -> float:
    """Mean over tasks, each the same weight; NaN if there is none or one of them is NaN.

    `tasks` says whose mean each is: several of one task are one mean first.
    """
    by_task: dict[str, list[float]] = {}
    for mean, task in zip(means, tasks, strict=True):
        by_task.setdefault(task, []).append(mean)
    return _mean([_mean(its) for its in by_task.values()])


def shares(tasks: Sequence[str]) -> list[float]:
    """The weight of each part of a mean over tasks, as in `mean_of_tasks`; together they are 1."""
    times = Counter(tasks)
    return [1 / (len(times) * times[task]) for task in tasks]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan
