"""`make bench`: every speed and memory figure of the project as a ratio against a peer in the same run."""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import torch

from bench import blend, branches, decode_attention, families, long, served, sparse, states
from bench.rows import Row, interleaved, markdown

PARTS: dict[str, Callable[[int], Iterator[Row]]] = {
    "branches": branches.rows,
    "prefill": branches.prefill,
    "sparse": sparse.rows,
    "decode": decode_attention.rows,
    "stored": decode_attention.stored,
    "blend": blend.rows,
    "states": states.rows,
    "memory": families.memory,
    "long": long.rows,
    "family": families.rows,
    "vllm": served.rows,
}


def main() -> None:
    """Measure the parts that are asked for, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--repeats", type=int, default=5, help="interleaved repeats of each measurement")
    parser.add_argument("--output", type=Path, default=Path("results/bench.md"), help="where the table goes")
    given = parser.parse_args()
    unknown = [part for part in given.parts if part not in PARTS]
    if unknown or given.repeats < 1:
        parser.error(f"unknown part {unknown[0]}; known: {', '.join(PARTS)}" if unknown else "--repeats must be >= 1")
    rows: list[Row] = []
    for part in given.parts or PARTS:
        sys.stderr.write(f"{part} …\n")
        for row in PARTS[part](given.repeats):
            rows.append(row)
            sys.stderr.write("  " + "  ".join(cell for cell in row.cells() if cell) + "\n")
            given.output.parent.mkdir(parents=True, exist_ok=True)
            given.output.write_text(f"{_machine()}\n\n{markdown(rows)}\n", encoding="utf-8")
    sys.stderr.write(f"written: {given.output}\n")


def _machine() -> str:
    """The limits of this machine: without them the times mean nothing."""
    name = next(
        (line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")), platform.machine()
    )
    one, other = torch.rand(1024, 1024), torch.rand(1024, 1024)
    flops = _rate(lambda: torch.matmul(one, other), 2 * 1024**3)
    source, target = torch.rand(1 << 25), torch.empty(1 << 25)
    copied = _rate(lambda: target.copy_(source), 2 * 4 * (1 << 25))
    return (
        f"{name}, {torch.get_num_threads()} threads; products {flops / 1e9:.0f} GFLOP/s (fp32, 1024³), "
        f"copies {copied / 1e9:.1f} GB/s; Python {platform.python_version()}, torch {torch.__version__}, "
        f"transformers {version('transformers')}. Medians of interleaved repeats; times are of this machine only, and "
        "a CPU's ratio is no GPU's."
    )


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def _rate(work: Callable[[], object], amount: float) -> float:
    return amount / interleaved({"it": work}, 9)["it"]


if __name__ == "__main__":
    main()
