"""A sweep that has data for every figure: methods, budgets, lengths, modes, fidelity, diagnostics."""

from __future__ import annotations

import random
from pathlib import Path

from scbench.record import Diagnostics, Fidelity, Record
from scbench.results.scores import score_sweep
from sweep_builder import MIB, answers, cell, write_sweep

BUDGETS = (0.125, 0.5)
ASKED = [("dense", None), ("bounds.oracle", 0.25), *((m, b) for m in ("streaming_llm", "snapkv") for b in BUDGETS)]
TASKS = [("retr_kv", 512), ("retr_kv", 1024)]
TURNS = 3


def wide_sweep(root: Path, sessions: int = 2) -> Path:
    """The manifest of the sweep, scored; the same for the same arguments."""
    draw = random.Random(0)
    names = [f"s{number}" for number in range(sessions)]
    cells = {
        f"c{number}": cell(method, task, mode, budget=budget, task_options={"length": length})
        for number, (mode, (task, length), (method, budget)) in enumerate(
            (mode, task, asked) for mode in ("multi_turn", "multi_request") for task in TASKS for asked in ASKED
        )
    }
    records = [
        session(fingerprint, name, asked.budget, asked.method_name, draw)
        for fingerprint, asked in cells.items()
        for name in names
    ]
    path = write_sweep(root, cells, records, names)
    score_sweep(path)
    return path


def session(fingerprint: str, name: str, budget: float | None, method: str, draw: random.Random) -> list[Record]:
    share = 1.0 if budget is None else budget * (1.1 if method == "snapkv" else 1.0)
    right = [draw.random() < 0.4 + 0.5 * share for _ in range(TURNS)]
    heads = tuple(
        tuple(share + 0.1 * (1 - share) * (layer + head) for _ in range(2)) for layer in (0, 1) for head in (0,)
    )
    looked = Diagnostics(
        top=8,
        layers=(0, 1),
        steps=(0, 16),
        mass=tuple((head,) for head in heads),
        since_compression=tuple((head,) for head in heads),
        since_turn_before=None,
    )
    kept = (512,) * 4 if budget is None else tuple(int(512 * share * factor) for factor in (1.5, 1.2, 0.8, 0.5))
    return answers(
        fingerprint,
        name,
        right,
        stored=int(8 * MIB * share),
        fidelity=Fidelity(4, -3.0 / share, 0.2 * (1 - share)),
        diagnostics=looked,
        kept=kept,
        output_ids=(1, 2, 3) if budget is None else (1, 2, 4),
        prompt_visible="" if budget is None else "context+q1",
        provenance={"weights": "sha256:12", "device": "cpu x2"},
    )
