"""Records, scored: one row per turn, from which every table and figure is made. No model is needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from scbench.record import Record
from scbench.results.columns import Columns, cost_columns, score_columns
from scbench.results.contexts import Key, contexts
from scbench.results.divergence import NO_ANSWERS, Answers, answered, dense_cells
from scbench.results.frames import FAILURES, KEY, NUMBERS, SCORES, Scored, save_scored
from scbench.results.labels import labels
from scbench.results.store import FAILED, read_cell
from scbench.results.sweep import Sweep, read_sweep
from scbench.scoring import Answered, Scores, score_all

Row = dict[str, Any]


def score_sweep(manifest_path: Path) -> Scored:
    """Score a sweep's records and save `scores.csv`, `costs.csv` and `failures.csv` beside its manifest."""
    sweep = read_sweep(manifest_path)
    scored = score_cells(sweep)
    save_scored(scored, sweep.folder)
    return scored


def score_cells(sweep: Sweep) -> Scored:
    """Score the records of the sweep's cells, those of its own sessions only."""
    scores, costs = Columns(), Columns()
    failures: list[Row] = []
    documents: dict[Key, tuple[str, ...]] = {}
    dense = dense_cells(sweep.cells)
    known: dict[str, Answers] = {}
    named = labels(sweep.cells)
    for fingerprint, label in named.items():
        records = sweep_records(sweep, fingerprint)
        peer = dense.get(fingerprint)
        if peer is not None and peer not in known:
            known[peer] = answered(records if peer == fingerprint else sweep_records(sweep, peer))
        answers = NO_ANSWERS if peer is None else known[peer]
        cell = sweep.cells[fingerprint]
        found = score_records(records, cell.task.type.name, cell.mode.options["kind"])
        names = {"cell": fingerprint} | label.columns
        documents |= {(fingerprint, r.session): r.documents or (f"{cell.task.name}/{r.session}",) for r in records}
        scores.add(
            score_columns(records, found, answers) | {name: [text] * len(records) for name, text in names.items()}
        )
        costs.add(cost_columns(records))
        failures += (names | row for row in _failure_rows(sweep, fingerprint, records))
    frame = scores.frame([name for name in SCORES if name != "context"], numbers=NUMBERS)
    one_of = contexts(documents)
    keys = zip(frame["cell"], frame["session"], strict=True)
    stages = sorted(name for name in costs.names if name not in KEY)
    return Scored(
        frame.assign(context=pd.array([one_of[key] for key in keys], dtype="str"))[list(SCORES)],
        costs.frame((*KEY, *stages), numbers=stages),
        pd.DataFrame(failures, columns=list(FAILURES), dtype="str"),
    )


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
            yield {"session": record.session, "turn": turn, "outcome": outcome, "detail": record.detail}
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
