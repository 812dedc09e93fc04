"""What a tracking server shall hold of a cell, as plain data."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from typing import Any

from scbench.config.cell import Cell
from scbench.grid.manifest import Manifest
from scbench.record import Outcome
from scbench.results.labels import Label
from scbench.results.session_hashes import fingerprints
from scbench.results.statistics import counted
from scbench.results.summary import Summary
from scbench.results.text import visible

DIGEST = 32  # characters: MLflow takes 36
REASON = 500  # characters of a failure that a tag shows


STAGES = frozenset({"generation", "compression", "retrieval", "loading", "bounds"})  # where methods' modules lie
DENSE = "none"  # the stage of a method that does nothing
TURN_COLUMNS = {
    "turn_strict": ("strict", 100.0),
    "turn_ref": ("ref", 100.0),
    "turn_kv_stored_mib": ("kv_stored", 2.0**-20),
    "turn_kl_to_dense": ("kl_to_dense", 1.0),
}


@dataclass(frozen=True)
class Asked:
    """The sessions that a cell is about: `digest` names their contents, `source` is their file."""

    name: str
    digest: str
    source: str
    sessions: int


@dataclass(frozen=True)
class Evaluated:
    """The model that a cell evaluates: its configuration, and what names its weights and tokenizer."""

    name: str
    params: tuple[tuple[str, str], ...]

    @property
    def digest(self) -> str:
        """A hash of all of it."""
        return hashlib.sha256(json.dumps(astuple(self)).encode()).hexdigest()[:DIGEST]


@dataclass(frozen=True)
class CellRun:
    """`metrics` are (name, step, value), the step 0 or the turn, from 1; `failed`: sessions are missing."""

    name: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: tuple[tuple[str, int, float], ...]
    failed: bool
    asked: Asked | None = None

    @property
    def model(self) -> Evaluated:
        """What it evaluates."""
        params = {name.removeprefix("model."): text for name, text in self.params.items() if name.startswith("model.")}
        return Evaluated(self.params["model"], tuple(sorted(params.items())))

    @property
    def digest(self) -> str:
        """A hash of all of it: a run with the same hash need not be logged again."""
        return hashlib.sha256(json.dumps(astuple(self), sort_keys=True).encode()).hexdigest()


def cell_runs(summary: Summary, manifest: Manifest) -> dict[str, CellRun]:
    """The run of every cell, by fingerprint."""
    asked, turns = _asked(manifest), _turns(summary)
    failures = summary.scored.failures
    whole = failures[failures["session"] == ""]
    reasons: dict[str, str] = dict(zip(whole["cell"], whole["detail"], strict=True))
    return {
        cell: CellRun(
            name=" · ".join((label.row, label.title, label.mode)),
            tags=_tags(summary.sweep.name, cell, label, _stage(summary.sweep.cells[cell]), reasons.get(cell)),
            params=_params(summary.sweep.cells[cell], manifest.hashes.get(cell, {})),
            metrics=(*_metrics(summary, cell), *turns.get(cell, ())),
            failed=cell in reasons,
            asked=asked.get(cell),
        )
        for cell, label in summary.labels.items()
    }


def _tags(sweep: str, cell: str, label: Label, stage: str, reason: str | None) -> dict[str, str]:
    tags = (
        {"scb.sweep": sweep, "scb.cell": cell}
        | label.columns
        | {"stage": stage, "scb.reason": visible(reason or "", REASON)}
    )
    return {name: value for name, value in tags.items() if value}


def _stage(cell: Cell) -> str:
    """The stages of the cache's life at which the method acts, by where its module lies; empty for a user's own."""
    if cell.method_name == "dense":
        return DENSE
    stages = [part for method in cell.methods for part in method.target.split(".") if part in STAGES]
    return "+".join(dict.fromkeys(stages))


def _asked(manifest: Manifest) -> dict[str, Asked]:
    """The sessions of every cell; none where they have not been made."""
    found = {}
    for source, task in manifest.sources.items():
        path = manifest.sessions(source)
        known = fingerprints(path)
        if known:
            digest = hashlib.sha256(json.dumps(sorted(known.items())).encode()).hexdigest()[:DIGEST]
            found[source] = Asked(task.task.name, digest, path.relative_to(manifest.root).as_posix(), len(known))
    return {cell: found[f.source] for f in manifest.families if f.source in found for cell in f.cells}


def _turns(summary: Summary) -> dict[str, list[tuple[str, int, float]]]:
    """Per cell, the means over sessions at each turn."""
    columns = [column for column, _ in TURN_COLUMNS.values()]
    means = counted(summary.scored.scores).groupby(["cell", "turn"], as_index=False)[columns].mean()
    found: dict[str, list[tuple[str, int, float]]] = {}
    for name, (column, factor) in TURN_COLUMNS.items():
        known = means[means[column].notna()]
        for cell, turn, value in zip(known["cell"], known["turn"], known[column], strict=True):
            found.setdefault(cell, []).append((name, int(turn) + 1, factor * float(value)))
    return found


def _params(cell: Cell, hashes: Mapping[str, Any]) -> dict[str, str]:
    """The cell's configuration, flat: `model`, `model.<option>`, `method`, `<method>.<option>`, `budget`, …

    And what names the model's weights and tokenizer: `model.hash.<what>`.
    """
    axes = {"model": cell.model, "task": cell.task, "mode": cell.mode, "engine": cell.engine}
    params: dict[str, Any] = {axis: choice.name for axis, choice in axes.items()}
    params["method"] = cell.method_name
    for prefix, choice in (*axes.items(), *((method.name, method) for method in cell.methods)):
        params |= {f"{prefix}.{option}": value for option, value in choice.options.items()}
    for name in ("budget", "history", "query", "compress", "fit", "max_turns", "prompt_style"):
        params[name] = getattr(cell, name)
    params |= {f"model.hash.{name}": value for name, value in hashes.get("model", {}).items()}
    return {name: str(value) for name, value in params.items()}


def _metrics(summary: Summary, cell: str) -> Iterator[tuple[str, int, float]]:
    """Those that have a value: MLflow has no n/a, and a 0 would be a lie."""
    means = {"strict": "strict", "ref": "ref", "kv_stored_mib": "kv_stored", "kv_share": "kv_share"}
    values = [(name, 0, summary.mean(cell, column)) for name, column in means.items()]
    values += [(stage, 0, summary.cost(cell, stage)) for stage in summary.stages]
    values += [(f"turns_{outcome}", 0, float(summary.count(cell, outcome))) for outcome in Outcome]
    return (metric for metric in values if not math.isnan(metric[2]))
