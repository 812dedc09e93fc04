"""What a tracking server shall hold of a cell, as plain data."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from typing import Any

from scbench.config.cell import Cell
from scbench.record import Outcome
from scbench.results.labels import Label
from scbench.results.summary import Summary


@dataclass(frozen=True)
class CellRun:
    """`metrics` are (name, step, value), the step 0 or the turn, from 1; `failed`: sessions are missing."""

    name: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: tuple[tuple[str, int, float], ...]
    failed: bool

    @property
    def digest(self) -> str:
        """A hash of all of it: a run with the same hash need not be logged again."""
        return hashlib.sha256(json.dumps(astuple(self), sort_keys=True).encode()).hexdigest()


def cell_runs(summary: Summary) -> dict[str, CellRun]:
    """The run of every cell, by fingerprint."""
    failures = summary.scored.failures
    whole = failures[failures["session"] == ""]
    reasons: dict[str, str] = dict(zip(whole["cell"], whole["detail"], strict=True))
    return {
        cell: CellRun(
            name=" · ".join((label.row, label.title, label.mode)),
            tags=_tags(summary.sweep.name, cell, label, reasons.get(cell)),
            params=_params(summary.sweep.cells[cell]),
            metrics=tuple(_metrics(summary, cell)),
            failed=cell in reasons,
        )
        for cell, label in summary.labels.items()
    }


def _tags(sweep: str, cell: str, label: Label, reason: str | None) -> dict[str, str]:
    tags = {"scb.sweep": sweep, "scb.cell": cell} | label.columns | {"scb.reason": reason}
    return {name: value for name, value in tags.items() if value}


def _params(cell: Cell) -> dict[str, str]:
    """The cell's configuration, flat: `model`, `model.<option>`, `method`, `<method>.<option>`, `budget`, …"""
    axes = {"model": cell.model, "task": cell.task, "mode": cell.mode, "engine": cell.engine}
    params: dict[str, Any] = {axis: choice.name for axis, choice in axes.items()}
    params["method"] = cell.method_name
    for prefix, choice in (*axes.items(), *((method.name, method) for method in cell.methods)):
        params |= {f"{prefix}.{option}": value for option, value in choice.options.items()}
    for name in ("budget", "history", "query", "fit", "max_turns", "prompt_style"):
        params[name] = getattr(cell, name)
    return {name: str(value) for name, value in params.items()}


def _metrics(summary: Summary, cell: str) -> Iterator[tuple[str, int, float]]:
    """Those that have a value: MLflow has no n/a, and a 0 would be a lie."""
    means = {"strict": "strict", "ref": "ref", "kv_stored_mib": "kv_stored", "kv_share": "kv_share"}
    values = [(name, 0, summary.mean(cell, column)) for name, column in means.items()]
    values += [("turn_strict", turn + 1, summary.turn(cell, turn)) for turn in summary.turns]
    values += [(stage, 0, summary.cost(cell, stage)) for stage in summary.stages]
    values += [(f"turns_{outcome}", 0, float(summary.count(cell, outcome))) for outcome in Outcome]
    return (metric for metric in values if not math.isnan(metric[2]))
