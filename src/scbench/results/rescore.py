"""Scores of what was saved: a sweep, a cell, one record file, or a prediction file of the original."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scbench.config.cell import Cell
from scbench.errors import ScbenchError
from scbench.grid.manifest import Manifest
from scbench.record import Outcome, Record
from scbench.results.predictions import is_prediction_file, read_predictions
from scbench.results.scores import score_records, sweep_records
from scbench.results.store import FAILED, CellStore, read_cell
from scbench.results.sweep import read_sweep
from scbench.scoring import Scores, score_all
from scbench.scoring.aggregation import aggregate, answered
from scbench.scoring.rules import RAISED

ORIGINAL_LENGTH = 131_072  # the original's default `max_seq_length`, which only its summary line shows


@dataclass(frozen=True)
class ScoredTurn:
    """Both scores of one turn of one session, NaN where the turn failed; whether they count: its outcome is `ok`."""

    session: str
    turn: Any
    strict: float
    ref: float
    counts: bool = True


@dataclass(frozen=True)
class Rescored:
    """The scores of one cell or file; `summary` is the original's line for it, or says why it has none."""

    title: str
    turns: tuple[ScoredTurn, ...]
    summary: str = ""


@dataclass(frozen=True)
class Mean:
    """Mean scores of the turns that count, NaN if there is none; `count` says how many there are."""

    name: str
    count: int
    strict: float
    ref: float


def rescore(path: Path, length: int = ORIGINAL_LENGTH) -> Iterator[Rescored]:
    """Score what lies at `path`; nothing is written.

    `path` is a sweep's folder or manifest, a cell's folder, a record file, or a prediction file of the original,
    whose summary line shows `length` (-1: not). Raises `ScbenchError` for anything else, and for damaged files.
    """
    if not path.exists():
        raise ScbenchError(
            f"there is no {path}; give a record file, a cell's or a sweep's folder, or a prediction file"
        )
    manifest = path / "manifest.json" if path.is_dir() else path
    if manifest.name == "manifest.json" and manifest.exists():
        yield from _sweep(manifest)
    elif is_prediction_file(path):
        yield _predictions(path, length)
    elif path.is_dir() and any(path.glob("*.jsonl")):
        folder = path.resolve()
        yield _cell(folder.parents[1], folder.name, read_cell(folder.parents[1], folder.name))
    elif path.suffix == ".jsonl":
        file = path.resolve()
        store = CellStore(file.parents[2], file.parent.name, file.stem)
        yield _cell(store.root, store.fingerprint, store.read())
    else:
        raise ScbenchError(f"{path} holds no records; give a record file, a cell's or a sweep's folder")


def turn_means(turns: Sequence[ScoredTurn]) -> list[Mean]:
    """The mean of each turn over sessions, by first appearance, then the mean: turns weigh equally inside a session,
    sessions inside the mean. Turns that do not count, and sessions without others, are left out, as in all tables.
    """
    by_turn: dict[Any, list[ScoredTurn]] = defaultdict(list)
    by_session: dict[str, list[ScoredTurn]] = defaultdict(list)
    for turn in turns:
        by_turn[turn.turn].append(turn)
        if turn.counts:
            by_session[turn.session].append(turn)
    sessions = [_mean(session, group) for session, group in by_session.items()]
    whole = Mean(
        "mean",
        sum(turn.counts for turn in turns),
        _average([s.strict for s in sessions]),
        _average([s.ref for s in sessions]),
    )
    return [*(_mean(f"turn {turn}", group) for turn, group in by_turn.items()), whole]


def _mean(name: str, turns: Sequence[ScoredTurn]) -> Mean:
    known = [turn for turn in turns if turn.counts]
    return Mean(name, len(known), _average([turn.strict for turn in known]), _average([turn.ref for turn in known]))


def _average(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan


def _sweep(manifest: Path) -> Iterator[Rescored]:
    sweep = read_sweep(manifest)
    for fingerprint, cell in sweep.cells.items():
        yield _scored(fingerprint, cell, sweep_records(sweep, fingerprint))


def _cell(root: Path, fingerprint: str, records: Sequence[Record]) -> Rescored:
    """Records know no task: the manifests beside them do."""
    for path in sorted(root.glob("*/manifest.json")):
        cell = Manifest.read(path).cells.get(fingerprint)
        if cell is not None:
            return _scored(fingerprint, cell, records)
    raise ScbenchError(f"no manifest in {root} knows the cell {fingerprint}; plan its sweep again with `scbench sweep`")


def _scored(fingerprint: str, cell: Cell, records: Sequence[Record]) -> Rescored:
    scores = score_records(records, cell.task.type.name, cell.mode.options["kind"])
    methods = " + ".join(method.name for method in cell.methods)
    title = f"{fingerprint}: {cell.task.name}, {cell.mode.name}, {methods}"
    return Rescored(title, tuple(map(_turn, records, scores)))


def _turn(record: Record, scores: Scores) -> ScoredTurn:
    failed = record.outcome in FAILED
    strict, ref = (math.nan, math.nan) if failed else (scores.strict, scores.ref)
    return ScoredTurn(record.session, record.turn, strict, ref, record.outcome is Outcome.OK)


def _predictions(path: Path, length: int) -> Rescored:
    file = read_predictions(path)
    items = [answered(file.task, record) for record in file.records]
    scores = score_all(items, file.mode)
    turns = (
        ScoredTurn(str(record.get("id", "")), record["turn_idx"], score.strict, score.ref)
        for record, score in zip(file.records, scores, strict=True)
    )
    try:
        summary = aggregate(file.task, file.mode, file.records, length).summary_line
    except RAISED as error:
        summary = f"the original raises {type(error).__name__} here"
    return Rescored(f"{path.name}: {file.task}, {file.mode}", tuple(turns), summary)
