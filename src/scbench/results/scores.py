"""Records, scored: one row per turn, from which every table and figure is made. No model is needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd

from scbench.record import Record
from scbench.results.collecting import uncollected
from scbench.results.columns import Columns, cost_columns, packed, score_columns
from scbench.results.contexts import Key, contexts
from scbench.results.divergence import NO_ANSWERS, answered, dense_cells
from scbench.results.frames import FAILURES, KEY, NUMBERS, SCORES, Scored, save_scored
from scbench.results.labels import labels
from scbench.results.store import FAILED, read_cell
from scbench.results.sweep import Sweep, read_sweep
from scbench.scoring import Answered, Scores, score_all

Row = dict[str, Any]
TOGETHER = 16  # cells that are scored one after the other, with one reading of their dense cell
MANY = 100  # cells, from which on more processes are worth their start


@dataclass(frozen=True)
class _Part:
    """What one cell's records give."""

    scores: Mapping[str, Any]  # as `packed` has them
    costs: Mapping[str, Any]
    failures: tuple[Row, ...]
    documents: Mapping[str, tuple[str, ...]]  # by session


@dataclass(frozen=True)
class _Group:
    """Some cells that are held against the same dense one, or none."""

    sweep: Sweep
    cells: tuple[str, ...]
    dense: str | None


def score_sweep(manifest_path: Path, workers: int = 1) -> Scored:
    """Score a sweep's records and save `scores.csv`, `costs.csv` and `failures.csv` beside its manifest.

    More than one of `workers` are processes that start Python anew: only for callers whose main module may be
    imported again.
    """
    sweep = read_sweep(manifest_path)
    scored = score_cells(sweep, workers)
    save_scored(scored, sweep.folder)
    return scored


def score_cells(sweep: Sweep, workers: int = 1) -> Scored:
    """Score the records of the sweep's cells, those of its own sessions only; `workers` as `score_sweep` has them."""
    scores, costs = Columns(), Columns()
    failures: list[Row] = []
    documents: dict[Key, tuple[str, ...]] = {}
    parts = _parts(sweep, workers)
    for fingerprint, label in labels(sweep.cells).items():
        part = parts.pop(fingerprint)
        names = {"cell": fingerprint} | label.columns
        rows = len(part.scores["turn"])
        documents |= {(fingerprint, session): them for session, them in part.documents.items()}
        scores.add({**part.scores, **{name: [text] * rows for name, text in names.items()}})
        costs.add(part.costs)
        failures += (names | row for row in part.failures)
    frame = scores.frame([name for name in SCORES if name != "context"], numbers=NUMBERS)
    one_of = contexts(documents)
    keys = zip(frame["cell"], frame["session"], strict=True)
    stages = sorted(name for name in costs.names if name not in KEY)
    return Scored(
        frame.assign(context=pd.array([one_of[key] for key in keys], dtype="str"))[list(SCORES)],
        costs.frame((*KEY, *stages), numbers=stages),
        pd.DataFrame(failures, columns=list(FAILURES), dtype="str"),
    )


def _parts(sweep: Sweep, workers: int) -> dict[str, _Part]:
    groups = list(_groups(sweep))
    if workers == 1 or len(sweep.cells) < MANY:
        return {name: part for group in groups for name, part in _score(group)}
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return {name: part for found in pool.map(_score, groups) for name, part in found}


def _groups(sweep: Sweep) -> Iterator[_Group]:
    dense = dense_cells(sweep.cells)
    by_peer: dict[str | None, list[str]] = {}
    for name in sweep.cells:
        by_peer.setdefault(dense.get(name), []).append(name)
    for peer, names in by_peer.items():
        for at in range(0, len(names), TOGETHER):
            some = tuple(names[at : at + TOGETHER])
            needed = {*some, *([peer] if peer else [])}
            own = replace(
                sweep,
                cells={name: sweep.cells[name] for name in needed},
                sessions={name: sweep.sessions[name] for name in needed},
                failed={name: reason for name, reason in sweep.failed.items() if name in needed},
            )
            yield _Group(own, some, peer)


@uncollected()
def _score(group: _Group) -> list[tuple[str, _Part]]:
    sweep, peer = group.sweep, group.dense
    answers = NO_ANSWERS if peer is None else answered(sweep_records(sweep, peer))
    found = []
    for name in group.cells:
        records, cell = sweep_records(sweep, name), sweep.cells[name]
        scores = score_records(records, cell.task.type.name, cell.mode.options["kind"])
        part = _Part(
            scores=packed(score_columns(records, scores, answers)),
            costs=packed(cost_columns(records)),
            failures=tuple(_failure_rows(sweep, name, records)),
            documents={r.session: r.documents or (f"{cell.task.name}/{r.session}",) for r in records},
        )
        found.append((name, part))
    return found


def sweep_records(sweep: Sweep, fingerprint: str) -> list[Record]:
    """A cell's records of the sweep's own sessions, by session, then turn.

    Another sweep may have asked the same cell for more sessions.
    """
    wanted = frozenset(sweep.sessions[fingerprint])
    return [record for record in read_cell(sweep.root, fingerprint) if record.session in wanted]


def score_records(records: Sequence[Record], task: str, mode: str) -> list[Scores]:
    """Both scores of each record of one cell, in order; those of failed turns mean nothing.

    `mode` is `multi_turn` or `multi_request`. Failed turns are scored too, since functions compete with those that
    their sessions asked for, answered or not.
    """
    return score_all([_answered(record, task) for record in records], mode)


def _answered(record: Record, task: str) -> Answered:
    return Answered(
        task=task,
        prediction=record.prediction,
        gold=record.gold,
        options=record.options,
        subtask=record.subtask,
        session=record.session,
        language=record.language,
        repo=record.repo,
        function=record.function,
    )


def _failure_rows(sweep: Sweep, fingerprint: str, records: Sequence[Record]) -> Iterator[Row]:
    for record in records:
        if record.outcome in FAILED:
            outcome, turn = record.outcome.value, str(record.turn)
            detail = record.detail.encode(errors="backslashreplace").decode()  # a lone surrogate has no UTF-8
            yield {"session": record.session, "turn": turn, "outcome": outcome, "detail": detail}
    whole = {"session": "", "turn": ""}
    wanted = len(sweep.sessions[fingerprint])
    found = len({record.session for record in records})
    if fingerprint in sweep.failed:
        yield whole | {"outcome": "failed", "detail": sweep.failed[fingerprint]}
    elif wanted == 0:
        yield whole | {"outcome": "missing", "detail": "its sessions have not been made"}
    elif found < wanted:
        yield whole | {
            "outcome": "missing",
            "detail": f"{wanted - found} of {wanted} sessions have no records",
        }
