"""`python -m bench.aggregate`: from the records of 1,000 cells × 500 turns to tables, MLflow and report.

The records are made up: every method's answers to eight tasks whose scorers compare words, right or wrong by chance
(En.Sum's ROUGE and RepoQA's similarity take milliseconds an answer, whoever computes them). Each step is a process of
its own, as in the workflow: its seconds by the clock and of the processors, and its highest resident memory.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from scbench.config.cell import Cell, RunConfig
from scbench.config.compose import compose
from scbench.config.files import find_conf
from scbench.grid.manifest import Family, Manifest, Source
from scbench.record import KvBytes, Outcome, Record, StageTime
from scbench.results.files import write_json_atomic, write_text_atomic

CELLS, CONTEXTS, TURNS = 1000, 100, 5
METHODS = "streaming_llm,snapkv,pyramidkv,quest,random,oracle_topk"
BUDGETS = "0.03125,0.0625,0.125,0.25,0.5,512,1024,2048,4096,8192"
TASKS = "retr_kv,retr_prefix_suffix,retr_multihop,en_qa,zh_qa,en_multichoice,math_find,icl_manyshot"
SWEEP = [f"method=dense,dense_repeat,{METHODS}", f"budget={BUDGETS}", f"task={TASKS}", "mode=multi_turn,multi_request"]
MIB = 2**20
STEPS = (("score",), ("tables",), ("track",), ("report",))


@dataclass(frozen=True)
class Step:
    """What one command took."""

    name: str
    seconds: float
    processor_seconds: float
    peak_mib: float


def sweep(root: Path, cells: int, contexts: int, turns: int) -> Path:
    """Write a sweep as it is after its runs; the path of its manifest."""
    found = compose([*SWEEP, "model=smollm2_135m,llama3_1_8b"], find_conf()).cells[:cells]
    named = {f"{number:016x}": cell for number, cell in enumerate(found)}
    sources: dict[str, Source] = {}
    families: dict[str, list[str]] = {}
    for name, cell in named.items():
        source = f"{cell.task.name}-{cell.model.name}"
        sources[source] = Source(source, cell.task, cell.model)
        families.setdefault(source, []).append(name)
    manifest = Manifest(
        root=root,
        sweep="wide",
        overrides=(),
        inputs="",
        run=RunConfig(),
        cells=named,
        hashes={},
        families=tuple(Family(f"family-{name}", name, tuple(its)) for name, its in families.items()),
        sources=sources,
    )
    manifest.write()
    for source in sources:
        rows = ({"id": f"{source}-{n}", "context": "words of a context " * 1000, "turns": []} for n in range(contexts))
        write_text_atomic(manifest.sessions(source), "".join(json.dumps(row) + "\n" for row in rows))
        write_json_atomic(manifest.stamp(f"family-{source}"), {"family": source, "cells": {}})
    for source, its in families.items():
        for name in its:
            lines = (json.dumps(record.to_dict()) for record in _records(name, named[name], source, contexts, turns))
            write_text_atomic(root / "cells" / name / "0.jsonl", "\n".join(lines) + "\n")
    return manifest.path


def _records(name: str, cell: Cell, source: str, contexts: int, turns: int) -> Iterator[Record]:
    asked, answers = random.Random(source), random.Random(name)
    accuracy = 0.9 if cell.budget is None else 0.5
    stored = 8 * MIB if cell.budget is None else MIB
    times = {
        "prefill": StageTime(2.0, "shared"),
        "compress": StageTime(0.1, "own"),
        "decode": StageTime(0.5, "batch", turns),
    }
    for context in range(contexts):
        for turn in range(turns):
            gold = _gold(cell.task.name, asked)
            right = answers.random() < accuracy
            text = gold if isinstance(gold, str) else " ".join(gold)
            yield Record(
                cell=name,
                session=f"{source}-{context}",
                turn=turn,
                turns=turns,
                outcome=Outcome.OK,
                prediction=f"The answer is {text}." if right else "I do not know; it may be something else entirely.",
                gold=gold,
                options=("Blue", "Red", "Green", "Gray") if cell.task.name == "en_multichoice" else (),
                documents=(f"{cell.task.name[:2]}-{context}",),
                prompt_tokens=8192,
                output_tokens=20,
                stopped="stop",
                prompt_visible="context+q1",
                kept=(1024,) * 30,
                kv_bytes=KvBytes(8 * MIB, stored, stored, stored),
                times=times,
                peak_bytes={"prefill": 10**9, "decode": 10**9},
                provenance={"device": "cpu x2", "dtype": "float32"},
                output_ids=tuple(answers.randrange(49152) for _ in range(20)),
            )


def _gold(task: str, draw: random.Random) -> str | list[str]:
    match task:
        case "retr_multihop":
            return ["".join(draw.choices("ABCDEFGH", k=5)) for _ in range(3)]
        case "en_qa":
            return "the old house of Miss Havisham"
        case "zh_qa":
            return "南京城外的老房子"
        case "en_multichoice":
            return "Blue"
        case "math_find":
            return str(draw.randrange(9999))
        case "icl_manyshot":
            return f"({draw.choice('ABC')})"
        case _:
            return f"{draw.getrandbits(64):016x}"


def measured(command: tuple[str, ...], manifest: Path) -> Step:
    """Run a command of the workflow; its processes' memory is that of the largest of them."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    line = [sys.executable, "-m", "scbench", *command, "--manifest", str(manifest)]
    process = subprocess.Popen(line, env=_environment())
    _, status, used = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{' '.join(line)} failed")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = sum(getattr(after, kind) - getattr(before, kind) for kind in ("ru_utime", "ru_stime"))
    return Step(" ".join(command), time.perf_counter() - began, spent, used.ru_maxrss / 1024)


def _environment() -> Mapping[str, str]:
    """Without a server that the caller tracks to."""
    return {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}


def main() -> None:
    """Make the sweep, take each step, print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.aggregate", description=__doc__)
    parser.add_argument("--cells", type=int, default=CELLS)
    parser.add_argument("--contexts", type=int, default=CONTEXTS)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="scbench-") as folder:
        began = time.perf_counter()
        manifest = sweep(Path(folder) / "results", given.cells, given.contexts, TURNS)
        print(f"{given.cells} cells × {given.contexts * TURNS} turns, made in {time.perf_counter() - began:.0f} s\n")
        print("| step | seconds | of the processors | peak MiB |\n|---|---|---|---|")
        for command in STEPS:
            step = measured(command, manifest)
            row = (step.name, f"{step.seconds:.1f}", f"{step.processor_seconds:.1f}", f"{step.peak_mib:.0f}")
            print(f"| {' | '.join(row)} |", flush=True)
        report, shelf = manifest.parent / "report.html", manifest.parent / "report_answers"
        size = report.stat().st_size / 1e6
        apart = sum(path.stat().st_size for path in shelf.rglob("*") if path.is_file()) / 1e6 if shelf.exists() else 0.0
        print(f"\nreport.html {size:.1f} MB, beside it {apart:.1f} MB")


if __name__ == "__main__":
    main()
