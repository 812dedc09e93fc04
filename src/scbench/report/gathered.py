"""One pass over the records of a sweep, a cell at a time: what the report needs of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from scbench.grid.manifest import Manifest
from scbench.report.answers import Scores, answers
from scbench.report.figures.attention import Look, look
from scbench.report.questions import questions
from scbench.report.shelf import Shelf
from scbench.results.divergence import dense_cells
from scbench.results.labels import Label
from scbench.results.scores import sweep_records
from scbench.results.summary import Summary
from scbench.results.text import visible

Plain = dict[str, Any]


@dataclass(frozen=True)
class Gathered:
    """`cells` is the index of the page's answers, in the sweep's order; `looks` what diagnostics say, by cell;
    `provenance` counts the turns that were made with each (name, value).
    """

    cells: tuple[Plain, ...]
    looks: Mapping[str, Look]
    provenance: Mapping[tuple[str, str], int]

    @property
    def turns(self) -> int:
        """The turns that have a record."""
        return sum(cell["turns"] for cell in self.cells)


def gather(summary: Summary, manifest: Manifest, shelf: Shelf) -> Gathered:
    """Read every cell once, and put the questions of each source and the answers of each cell on the shelf."""
    sources = {cell: family.source for family in manifest.families for cell in family.cells}
    wanted: dict[str, set[str]] = {}
    for cell in summary.labels:
        wanted.setdefault(sources[cell], set()).update(summary.sweep.sessions[cell])
    for source, names in wanted.items():
        shelf.put(source, questions(manifest.sessions(source), frozenset(names)))
    dense = dense_cells(summary.sweep.cells)
    scored = {str(cell): turns for cell, turns in summary.scored.scores.groupby("cell", sort=False)}
    index: list[Plain] = []
    looks: dict[str, Look] = {}
    provenance: Counter[tuple[str, str]] = Counter()
    for cell, label in summary.labels.items():
        records = sweep_records(summary.sweep, cell)
        shelf.put(cell, answers(records, _scores(scored[cell]) if cell in scored else {}))
        looks[cell] = look(records)
        provenance.update(item for record in records for item in record.provenance.items())
        about = {"id": cell, "turns": len(records), "source": sources[cell], "dense": dense.get(cell)}
        index.append(about | _names(label))
    return Gathered(tuple(index), looks, provenance)


def _names(label: Label) -> dict[str, str]:
    names = {"mode": label.mode, "task": label.title, "model": label.model, "method": label.row}
    return {name: visible(text) for name, text in (names | {"setting": label.setting}).items()}


def _scores(turns: pd.DataFrame) -> Scores:
    keys = zip(turns["session"], turns["turn"], strict=True)
    return dict(zip(keys, zip(turns["strict"], turns["ref"], strict=True), strict=True))
