"""What a measurement gives: two medians from one run, their ratio, and what it should be."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

LONG = 10.0  # seconds: a run that takes longer is reported at once


@dataclass(frozen=True)
class Goal:
    """The ratio that must be reached and the one to aim for; smaller is better unless `at_least`."""

    must: float
    aim: float
    at_least: bool = False

    def met(self, ratio: float) -> bool:
        """Whether a ratio is good enough."""
        return ratio >= self.must if self.at_least else ratio <= self.must

    def __str__(self) -> str:
        sign = "≥" if self.at_least else "≤"
        return f"{sign} {self.must:g} (aim {self.aim:g})"


@dataclass(frozen=True)
class Row:
    """`ours` and `peer` in `unit`; the `ratio` that the goal is for; `agreement`: what an approximation still finds."""

    name: str
    ours: float
    peer: float
    ratio: float
    goal: Goal | None
    shape: str
    repeats: int
    unit: str = "s"
    agreement: str = ""

    def cells(self) -> list[str]:
        """The texts of a table's row."""
        goal = "–" if self.goal is None else str(self.goal)
        met = "" if self.goal is None else ("met" if self.goal.met(self.ratio) else "NOT met")
        numbers = [f"{self.ours:.4g} {self.unit}", f"{self.peer:.4g} {self.unit}", f"{self.ratio:.3g}"]
        return [self.name, *numbers, goal, met, self.shape, str(self.repeats), self.agreement]


HEADER = ["measurement", "ours", "peer", "ratio", "goal", "", "shape", "repeats", "agreement"]


def markdown(rows: list[Row]) -> str:
    """The rows as a table."""
    lines = [HEADER, ["---"] * len(HEADER), *(row.cells() for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def interleaved(candidates: Mapping[str, Callable[[], object]], repeats: int, warm: bool = True) -> dict[str, float]:
    """The median seconds of each candidate, run in turns: what slows the machine down slows all of them."""
    if warm:
        for run in candidates.values():
            run()
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for repeat in range(repeats):
        for name, run in candidates.items():
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
            if seconds[name][-1] > LONG:
                sys.stderr.write(f"    {name}: {seconds[name][-1]:.1f} s ({repeat + 1} of {repeats})\n")
    return {name: statistics.median(times) for name, times in seconds.items()}
