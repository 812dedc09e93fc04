"""A sweep on the disk, made by hand, for the tests of results and report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from record_builders import record
from scbench.config.cell import Cell, Choice, RunConfig
from scbench.grid.manifest import Family, Manifest, Source
from scbench.record import KvBytes, Outcome, Record, StageTime
from scbench.results.files import write_json_atomic, write_text_atomic
from scbench.results.store import CellStore
from scbench.tasks.session import Session, Turn

MIB = 2**20
TASKS = {
    "retr_kv": "scbench.tasks.retr_kv.RetrKV",
    "math_find": "scbench.tasks.math_find.MathFind",
    "en_qa": "scbench.tasks.en_qa.EnQA",
    "gen_records": "scbench.tasks.gen_records.GenRecords",
}


def cell(
    method: str = "dense",
    task: str = "retr_kv",
    mode: str = "multi_turn",
    *,
    model: str = "tiny",
    budget: float | int | str | None = None,
    history: str = "gold",
    options: Mapping[str, Any] | None = None,
    task_options: Mapping[str, Any] | None = None,
) -> Cell:
    return Cell(
        model=Choice(model, "scbench.models.model.ModelConfig", {}),
        methods=(Choice(method, f"scbench.methods.{method}", options or {}),),
        task=Choice(task, TASKS[task], {"length": 512, "data": None} | dict(task_options or {})),
        mode=Choice(mode, "scbench.modes.Mode", {"kind": mode}),
        engine=Choice("own", "scbench.engine.config.EngineConfig", {"chunk": 64}),
        budget=budget,
        history=history,
        query="aware",
        max_turns=None,
    )


def answers(
    fingerprint: str,
    name: str,
    right: Sequence[bool],
    stored: int = 4 * MIB,
    outcome: Outcome = Outcome.OK,
    **values: Any,
) -> list[Record]:
    """A session whose turns are answered right or wrong, with 8 MiB of dense cache and fixed times."""
    kv_bytes = KvBytes(dense=8 * MIB, nominal=stored, stored=stored, touched=stored)
    times = {"prefill": StageTime(2.0, "shared"), "decode": StageTime(0.5, "batch", len(right))}
    common = {"cell": fingerprint, "outcome": outcome, "gold": "the-value", "kv_bytes": kv_bytes, "times": times}
    return [
        record(name, turn, len(right), **(common | {"prediction": "the-value" if good else "another"} | values))
        for turn, good in enumerate(right)
    ]


def _session(asked: Cell, name: str, turns: int = 5) -> Session:
    asked_turns = tuple(Turn(f"question {turn} of {name}?", "the-value") for turn in range(1, turns + 1))
    return Session(name, asked.task.name, "generated", "…", asked_turns, (f"document of {name}",), 1, 512)


def write_sweep(
    root: Path,
    cells: Mapping[str, Cell],
    records: Sequence[Sequence[Record]],
    sessions: Sequence[str] = ("s0", "s1"),
    failed: Mapping[str, str] | None = None,
) -> Path:
    """Write manifest, sessions, stamps and records; one family and one source per cell. Gives the manifest."""
    manifest = Manifest(
        root=root,
        sweep="trial",
        overrides=(),
        inputs="",
        run=RunConfig(),
        cells=cells,
        hashes={},
        families=tuple(Family(f"f-{name}", f"src-{name}", (name,)) for name in cells),
        sources={f"src-{name}": Source(f"src-{name}", value.task, value.model) for name, value in cells.items()},
    )
    manifest.write()
    for name, asked in cells.items():
        reason = (failed or {}).get(name)
        lines = [{"error": reason}] if reason else [asdict(_session(asked, session)) for session in sessions]
        write_text_atomic(manifest.sessions(f"src-{name}"), "".join(json.dumps(line) + "\n" for line in lines))
        summary = {"failed": reason} if reason else {"sessions": 2, "computed": 2, "outcomes": {}}
        write_json_atomic(manifest.stamp(f"f-{name}"), {"family": f"f-{name}", "cells": {name: summary}})
    for session in records:
        with CellStore(root, session[0].cell).writer(wait=0) as writer:
            writer.append(session)
    return manifest.path
