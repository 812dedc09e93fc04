"""What others have published of the benchmark: beside our tables, never in them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files

from scbench.results.table import Column, Table, Value

GROUPS = ("String retrieval", "Semantic retrieval", "Global information", "Multi-tasking", "mean")
NOT_FOUND = "not found"


@dataclass(frozen=True)
class Published:
    """A published row: scores in % by ability group and their mean, those that could be found.

    `options` are those of this project's method that stand for it; None where none does.
    """

    source: str
    model: str
    method: str
    budget: str
    mode: str
    scores: dict[str, float]
    options: dict[str, int] | None = None


def published() -> list[Published]:
    """All rows, as they stand in the package's `results/published.json`."""
    text = files("scbench.results").joinpath("published.json").read_text(encoding="utf-8")
    return [Published(**row) for row in json.loads(text)]


def published_table() -> Table:
    """The published values with their sources; what could not be found says so."""
    columns = tuple(map(Column, ("model", "method", "budget", "mode", *GROUPS, "source")))
    rows: list[tuple[Value, ...]] = [
        (
            *(row.model, row.method, row.budget, row.mode),
            *(f"{row.scores[group]:.1f}" if group in row.scores else NOT_FOUND for group in GROUPS),
            row.source,
        )
        for row in published()
    ]
    note = (
        "Scores in %, on the published data set and by the original's scoring (here: `ref` scores with "
        "prompt_style=ref). Transcribed by third parties, not checked against the papers; means as printed, their "
        "weights are not known. Values of different sources do not compare."
    )
    return Table("published", "Published values", note, columns, tuple(rows))
