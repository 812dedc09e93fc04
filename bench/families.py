"""A family of cells against the same cells one by one, and its memory against that of dense alone."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping

from bench import stage
from bench.rows import Goal, Row, interleaved
from scbench.engine.job import Job, Turn
from scbench.methods.compression.kivi import Kivi
from scbench.methods.compression.snapkv import SnapKV
from scbench.methods.compression.streaming_llm import StreamingLLM
from scbench.methods.generation.dense import Dense
from scbench.methods.loading.quest import Quest

LENGTH = 8192 - 512  # of the context; questions and answers fill the window
CELLS = (
    ("dense", Dense(), None),
    ("streaming_llm 1/4", StreamingLLM(), 0.25),
    ("streaming_llm 1/8", StreamingLLM(), 0.125),
    ("snapkv 1/4", SnapKV(), 0.25),
    ("snapkv 1/8", SnapKV(), 0.125),
    ("kivi 2 bits", Kivi(), None),
    ("quest 1/8", Quest(), 0.125),
)
MODES = ("multi_turn", "multi_request")
Cells = Mapping[str, tuple[Turn, ...]]


def jobs(length: int) -> list[Job]:
    """Seven cells in both modes."""
    talk = stage.dialogue(length)
    return [stage.job(f"{name}/{mode}", talk, mode, method, budget) for name, method, budget in CELLS for mode in MODES]


def rows(repeats: int, length: int = LENGTH) -> Iterator[Row]:
    """The two kinds of batch, in the same run as the cells alone."""
    family, found = jobs(length), dict[str, Cells]()

    def alone() -> Cells:
        return {name: turns for job in family for name, turns in stage.answers([job]).items()}

    def kept(batch: str, run: Callable[[], Cells]) -> Callable[[], None]:
        return lambda: found.update({batch: run()})

    candidates = {
        "method": kept("method", lambda: stage.answers(family, "method")),
        "family": kept("family", lambda: stage.answers(family, "family")),
        "alone": kept("alone", alone),
    }
    seconds = interleaved(candidates, repeats, warm=False)
    shape = f"SmolLM2 fp32, 7 cells × 2 modes, {length} + questions, 5 turns, 32 new tokens"
    for batch, goal in (("method", Goal(0.30, 0.22)), ("family", Goal(0.17, 0.11))):
        width = 5 if batch == "method" else 5 * len(family)
        ratio = seconds[batch] / seconds["alone"]
        name = f"family, batch={batch} ÷ its cells one by one"
        same = f"{_same(found[batch], found['alone'])}; {_agreement(found[batch])}"
        yield Row(
            name, seconds[batch], seconds["alone"], ratio, goal, f"{shape}, width {width}", repeats, agreement=same
        )


def _same(found: Cells, alone: Cells) -> str:
    pairs = [pair for name in alone for pair in zip(found[name], alone[name], strict=True)]
    equal = sum(one.answer.tokens == other.answer.tokens for one, other in pairs)
    return f"{equal} of {len(pairs)} answers as alone"


def _agreement(found: Cells) -> str:
    """Per approximate cell what its answers have in common with dense's, on average over both modes."""
    cells = []
    for name, *_ in CELLS[1:]:
        modes = [stage.in_common(found[f"{name}/{mode}"], found[f"dense/{mode}"]) for mode in MODES]
        cells.append(f"{name} {statistics.mean(modes):.1f}")
    return f"of {stage.NEW_TOKENS} tokens in common with dense: {', '.join(cells)}"


def memory(repeats: int, length: int = LENGTH) -> Iterator[Row]:
    """Peak resident memory of whole processes, weights included."""
    peaks = {what: _peak(what, length) for what in ("dense", "method", "family")}
    for batch, goal in (("method", Goal(1.3, 1.3)), ("family", None)):
        name = f"peak memory of a family, batch={batch} ÷ dense alone"
        ratio = peaks[batch] / peaks["dense"]
        yield Row(name, peaks[batch], peaks["dense"], ratio, goal, f"SmolLM2 fp32, {length}", 1, "MiB")


def _peak(what: str, length: int) -> float:
    command = [sys.executable, "-m", "bench.families", what, str(length)]
    return float(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def _measure(what: str, length: int) -> float:
    """The highest of what the records of these cells say."""
    cells = jobs(length)
    turns = stage.answers(cells[:2] if what == "dense" else cells, "method" if what == "dense" else what)
    return max(peak for cell in turns.values() for turn in cell for peak in turn.peak_bytes.values()) / 2**20


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_measure(sys.argv[1], int(sys.argv[2]))))
