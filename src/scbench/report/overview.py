"""The top of the report: what was run, what came out, and what to be careful with."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from scbench.grid.manifest import Manifest
from scbench.record import Outcome
from scbench.report.figures.memory import front, stored_and_strict
from scbench.report.figures.spots import Spot, contenders, models, spots
from scbench.report.gathered import Gathered
from scbench.results.bootstrap import FEW
from scbench.results.summary import Summary
from scbench.results.table import Column, Table, Value

TELLING = frozenset({"scbench", "commit", "engine_revision", "torch", "transformers", "device"})


def facts(summary: Summary, manifest: Manifest, gathered: Gathered) -> list[tuple[str, str]]:
    """What was run, by name: models, methods, tasks, modes, budgets, sizes, and the command."""
    labels = summary.labels.values()
    sessions = {(label.title, name) for cell, label in summary.labels.items() for name in summary.sweep.sessions[cell]}
    lists = {
        "models": (label.model for label in labels),
        "methods": (label.method for label in labels),
        "budgets": (label.budget for label in labels),
        "tasks": (label.title for label in labels),
        "modes": (label.mode for label in labels),
    }
    devices = sorted(value for name, value in gathered.provenance if name == "device")
    return [
        *((name, ", ".join(filter(None, dict.fromkeys(values)))) for name, values in lists.items()),
        ("size", f"cells: {len(gathered.cells)}, sessions: {len(sessions)}, turns with a record: {gathered.turns}"),
        ("device", ", ".join(devices)),
        ("command", " ".join(("scbench sweep", *manifest.overrides))),
    ]


def comparison_page(folder: Path) -> tuple[str, str] | None:
    """Where MLflow compares the sweep's runs, and the command that serves it first (or none); None before tracking."""
    try:
        tracked = json.loads((folder / "mlflow.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    page = str(tracked.get("compare", ""))
    return (page, str(tracked.get("start", ""))) if page.startswith(("http://", "https://")) else None


def front_table(summary: Summary) -> Table:
    """Dense and the Pareto front of score against stored bytes, per model and mode, over the mean of most tasks."""
    rows: list[tuple[Value, ...]] = []
    for model in models(summary):
        for spot in _widest(spots(summary, model)):
            rows += _front_rows(summary, model, spot)
    note = (
        "Dense, and of the other settings those on the Pareto front: no other has a higher mean strict score (%) with "
        "as few bytes. A front is drawn through means; whether a difference is more than noise is in the tables."
    )
    columns = (
        *(Column("model"), Column("mode"), Column("over"), Column("method")),
        *(Column("strict", 1), Column("minus dense", 1), Column("KV MiB", 2), Column("KV % of dense", 1)),
    )
    return Table("front", "Score against memory", note, columns, tuple(rows))


def flags(summary: Summary, gathered: Gathered) -> list[str]:
    """What a reader must know before believing a number; empty where there is nothing."""
    failures = summary.scored.failures
    outcomes = Counter(summary.scored.scores["outcome"])
    whole = int((failures["session"] == "").sum())
    cut = int(summary.scored.scores["answer_cut"].sum())
    few = sorted({label.title for cell, label in summary.labels.items() if summary.contexts(cell) < FEW})
    found = [
        (whole, f"{whole} cells have no or too few records: see Failures."),
        (len(failures) - whole, f"{len(failures) - whole} turns failed (oom, timeout, error): see Failures."),
        *(
            (outcomes[outcome], f"{outcomes[outcome]} turns ended as {outcome}: counted, and in no mean.")
            for outcome in (Outcome.NOOP, Outcome.TRUNCATED)
        ),
        (cut, f"On {cut} turns the gold answer stood in what was cut to fit the window."),
        (len(few), f"Fewer than {FEW} contexts, so hardly a claim: {', '.join(few)}."),
    ]
    return [text for count, text in found if count] + list(_mixed(gathered.provenance))


def _widest(places: Iterable[Spot]) -> list[Spot]:
    """Per mode, the spot of most tasks, the first of several."""
    best: dict[str, Spot] = {}
    for spot in places:
        if spot.mode not in best or len(spot.titles) > len(best[spot.mode].titles):
            best[spot.mode] = spot
    return list(best.values())


def _front_rows(summary: Summary, model: str, spot: Spot) -> list[tuple[Value, ...]]:
    rows = [row for row in contenders(summary, model) if row.mode == spot.mode]
    marks = {row.name: point for row in rows if not row.bound for point in stored_and_strict(summary, model, row, spot)}
    names = {point.text for point in front(marks.values())}
    dense = [row.name for row in rows if row.method == "dense" and row.name in marks]
    base = marks[dense[0]] if len(dense) == 1 else None
    nan = float("nan")
    return [
        (
            *(model, spot.mode, spot.name, name),
            *(point.y, point.y - base.y if base else nan, point.x, 100 * point.x / base.x if base else nan),
        )
        for name, point in sorted(marks.items(), key=lambda mark: -mark[1].x)
        if name in names or name in dense
    ]


def _mixed(provenance: Mapping[tuple[str, str], int]) -> Iterable[str]:
    """Names that have several values: the turns were not all made by the same code, weights, …"""
    values: dict[str, list[str]] = {}
    for name, value in sorted(provenance):
        values.setdefault(name, []).append(value)
    return (
        f"Not all turns were made with the same {name}: {', '.join(several)}."
        for name, several in values.items()
        if len(several) > 1 and name in TELLING
    )
