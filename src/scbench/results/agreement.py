"""A sweep of the original's set-up beside the values that are known of it: does this implementation agree?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan

import numpy as np

from scbench.config.cell import Cell
from scbench.record import Outcome
from scbench.results.answers import cell_answers, part_of, session_means
from scbench.results.bootstrap import MISSING, Interval, Part, Weights, mean_of_parts
from scbench.results.published import Published, published
from scbench.results.summary import Summary
from scbench.results.table import Column, Table, Value

# How many tasks a published value is the mean of.
TASKS = {
    "String retrieval": 3,
    "Semantic retrieval": 4,
    "Global information": 3,
    "Multi-tasking": 2,
    "mean": 12,
}
AGREES, HIGHER, LOWER, FEW, PART = "agrees", "higher", "lower", "too few contexts", "tasks are missing"
# The original scores these alike: it cuts contexts too, and asks no method whether it had something to do.
ASKED = (Outcome.OK, Outcome.NOOP, Outcome.TRUNCATED)


@dataclass(frozen=True)
class Compared:
    """One published value and what this sweep has instead: the mean `ref` score in % with its 95 % interval."""

    published: Published
    group: str
    ours: Interval
    sessions: int

    @property
    def value(self) -> float:
        """The published value."""
        return self.published.scores[self.group]

    @property
    def verdict(self) -> str:
        """Whether the published value lies in the interval; where not, how ours is."""
        if self.ours == MISSING or isnan(self.ours.estimate):
            return PART
        if isnan(self.ours.low):
            return FEW
        if self.ours.low <= self.value <= self.ours.high:
            return AGREES
        return HIGHER if self.ours.estimate > self.value else LOWER


def compared(summary: Summary) -> list[Compared]:
    """Every published value of a row that the sweep has cells of, in the order of their publication."""
    rows = [(row, cells) for row in published() if (cells := _cells(summary, row))]
    parts, weights = (_parts(summary), Weights()) if rows else ({}, None)
    found = []
    for row, cells in rows:
        for group in (group for group in TASKS if group in row.scores):
            members = [name for name, cell in cells.items() if group in (cell.task.type.group, "mean")]
            tasks = {cells[name].task.name for name in members}
            whole = len(tasks) == len(members) == TASKS[group] and all(name in parts for name in members)
            ours = MISSING
            if whole and weights is not None:
                ours = mean_of_parts([parts[name] for name in members], np.array([[0.0], [100.0]]), weights)[0]
            found.append(Compared(row, group, ours, sum(summary.sessions(name) for name in members)))
    return found


def agreement_table(summary: Summary) -> Table | None:
    """A row per published value; None where the sweep has nothing that was published."""
    found = compared(summary)
    if not found:
        return None
    columns = (
        *map(Column, ("model", "method", "mode", "group")),
        *(Column("published", 1), Column("ref", 1), Column("low", 1), Column("high", 1), Column("difference", 1)),
        *map(Column, ("sessions", "verdict", "source")),
    )
    rows: list[tuple[Value, ...]] = [
        (
            *(one.published.model, one.published.method, one.published.mode, one.group),
            *(one.value, *_shown(one.ours), one.ours.estimate - one.value),
            *(one.sessions, one.verdict, one.published.source),
        )
        for one in found
    ]
    counts = Counter(one.verdict for one in found)
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    note = (
        f"{len(found)} published values: {said}. ref: the original's score in %, mean over the tasks of a group with "
        "the same weight (the published weights are not known, those of `mean` least), turns that were cut included, "
        "with a 95 % interval over contexts. agrees: the published value lies in it; higher, lower: ours is. The "
        "published values are transcriptions by third parties, without intervals of their own; those of another "
        "source than SCBench are another implementation's."
    )
    return Table("agreement", "Agreement with published values", note, columns, tuple(rows))


def _shown(ours: Interval) -> tuple[float, float, float]:
    return (ours.estimate, ours.low, ours.high)


def _cells(summary: Summary, row: Published) -> dict[str, Cell]:
    """The cells of the sweep that stand for a published row, by fingerprint."""
    cells = summary.sweep.cells
    return {name: cell for name, cell in cells.items() if row.options is not None and _stands_for(cell, row)}


def _stands_for(cell: Cell, row: Published) -> bool:
    """The same model, method, mode and options; the published data, whole, and the original's prompts."""
    path = str(cell.model.options.get("path", ""))
    return (
        path.rpartition("/")[2] == row.model
        and cell.method_name == row.method
        and cell.mode.options["kind"] == row.mode
        and cell.task.type.part_of_scbench
        and cell.task.options.get("data") is not None
        and cell.task.options.get("context", "full") == "full"
        and (cell.prompt_style, cell.history, cell.compress, cell.budget) == ("ref", "gold", "once", None)
        and cell.query == ("aware" if row.mode == "multi_turn" else "free")
        and _has(cell.methods[0].options, row.options or {})
    )


def _has(options: Mapping[str, object], wanted: Mapping[str, int]) -> bool:
    return all(options.get(name) == value for name, value in wanted.items())


def _parts(summary: Summary) -> dict[str, Part]:
    """The `ref` scores of every cell by context."""
    scores = summary.scored.scores
    asked = scores["outcome"].isin([outcome.value for outcome in ASKED])
    ref = scores.assign(strict=scores["ref"].where(asked), outcome=Outcome.OK.value)
    parts = {cell: part_of(its.contexts, session_means(its.strict)[:, None]) for cell, its in cell_answers(ref).items()}
    return {cell: part for cell, part in parts.items() if part.counts.any()}
