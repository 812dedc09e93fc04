"""Shared Context Bench: what a KV-cache method costs, and loses, when many questions share one long context."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pandas import DataFrame

    from scbench.run.progress import Progress

__all__ = ["evaluate"]
__version__ = "0.1.0"


def evaluate(*overrides: str, progress: Progress | None = None) -> DataFrame:
    """Run a sweep in this process and give its scored records, one row per turn.

    Takes the overrides of `scbench sweep`, shares its results folder, and computes only what is missing:

        scbench.evaluate("experiment=smoke", "method=dense,streaming_llm", "budget=0.25,0.5")

    `progress` is told how far it is (`scbench.run.progress`). Raises `scbench.errors.ScbenchError` on a mistake.
    """
    from scbench.config.files import find_conf
    from scbench.grid.plan import ensure
    from scbench.results.scores import score_sweep
    from scbench.run.local import run_here
    from scbench.run.progress import NullProgress

    manifest = ensure(overrides, find_conf())
    run_here(manifest, progress or NullProgress())
    return score_sweep(manifest.path).scores
