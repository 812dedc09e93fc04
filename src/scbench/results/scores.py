"""Records, scored: one row per turn, from which every table and figure is made. No model is needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from scbench.record import Record
from scbench.results.divergence import NO_ANSWERS, Answers, answered, common_tokens, dense_cells
from scbench.results.frames import FAILURES, KEY, NUMBERS, QUARTERS, SCORES, Scored, save_scored
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
    scores: list[Row] = []
    costs: list[Row] = []
    failures: list[Row] = []
    dense = dense_cells(sweep.cells)
    known: dict[str, Answers] = {}
    for fingerprint, label in labels(sweep.cells).items():
        records = sweep_records(sweep, fingerprint)
        peer = dense.get(fingerprint)
        if peer is not None and peer not in known:
            known[peer] = answered(sweep_records(sweep, peer))
        answers = NO_ANSWERS if peer is None else known[peer]
        cell = sweep.cells[fingerprint]
        found = score_records(records, cell.task.type.name, cell.mode.options["kind"])
        names = {"cell": fingerprint} | label.columns
        scores += (names | _score_row(*scored, answers) for scored in zip(records, found, strict=True))
        costs += (_cost_row(record) for record in records)
        failures += (names | row for row in _failure_rows(sweep, fingerprint, records))
    stages = dict.fromkeys(name for row in costs for name in row if name not in KEY)
    return Scored(
        pd.DataFrame(scores, columns=list(SCORES)).astype(dict.fromkeys(NUMBERS, float)),
        pd.DataFrame(costs, columns=[*KEY, *sorted(stages)]),
        pd.DataFrame(failures, columns=list(FAILURES)),
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


def _score_row(record: Record, scores: Scores, dense: Answers) -> Row:
    row: Row = {
        "session": record.session,
        "turn": record.turn,
        "subtask": record.subtask or "",
        "outcome": record.outcome.value,
        "ref_raised": "",
        "prompt_tokens": record.prompt_tokens,
        "output_tokens": record.output_tokens,
        "answer_cut": record.answer_cut,
    }
    if record.outcome not in FAILED:
        row |= {"strict": scores.strict, "ref": scores.ref, "ref_raised": scores.raised or ""}
        row |= dict(zip(QUARTERS, scores.quarters, strict=False))
    if record.kv_bytes is not None:
        row["kv_dense"] = record.kv_bytes.dense
        row["kv_stored"] = record.kv_bytes.stored
        row["kv_touched"] = record.kv_bytes.touched
    return row | _fidelity(record, dense)


def _fidelity(record: Record, dense: Answers) -> Row:
    row: Row = {}
    if record.fidelity is not None:
        row["gold_tokens"] = record.fidelity.tokens
        row["gold_log_likelihood"] = record.fidelity.log_likelihood
        row["kl_to_dense"] = record.fidelity.kl_to_dense
    other = dense.get((record.session, record.turn))
    if other is not None and record.output_ids is not None and record.outcome not in FAILED:
        row["common_tokens"] = common_tokens(record.output_ids, other)
        row["same_as_dense"] = record.output_ids == other
    return row


def _cost_row(record: Record) -> Row:
    row: Row = {"cell": record.cell, "session": record.session, "turn": record.turn}
    for stage, time in record.times.items():
        row[f"{stage}_{time.scope}_s"] = time.seconds
        if time.scope == "batch":
            row[f"{stage}_batch_width"] = time.width
    for stage, peak in record.peak_bytes.items():
        row[f"{stage}_peak_bytes"] = peak
    return row


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
