"""Stamps: the small files that tell Snakemake that a family has run, and people how it ended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from scbench.grid.manifest import Manifest
from scbench.results.files import write_json_atomic

if TYPE_CHECKING:
    from scbench.run.family import FamilySummary


def write_stamp(manifest: Manifest, summary: FamilySummary) -> None:
    """Write the stamp of a family, or of a shard of it, that has run."""
    stamp = {"family": summary.family, "shard": str(summary.shard), "cells": dict(summary.cells)}
    write_json_atomic(manifest.stamp(summary.family, summary.shard), stamp)


def failed_cells(manifest: Manifest) -> dict[str, str]:
    """Why cells could not run at all, by name."""
    cells = [
        item for stamp in manifest.stamps() if stamp.exists() for item in json.loads(stamp.read_text())["cells"].items()
    ]
    return {name: summary["failed"] for name, summary in cells if "failed" in summary}


def forget_failures(manifest: Manifest) -> None:
    """Remove what says that a cell could not run at all (no model, unreadable data), so that it is tried again.

    A session that ran out of memory or time is no such failure: it has its record, and `run.retry` repeats it.
    """
    for stamp in manifest.stamps():
        if stamp.exists() and any("failed" in cell for cell in json.loads(stamp.read_text())["cells"].values()):
            stamp.unlink()
    for source in manifest.sources:
        file = manifest.sessions(source)
        if file.exists() and _first_line(file).startswith('{"error"'):
            file.unlink()


def _first_line(file: Path) -> str:
    with file.open(encoding="utf-8") as lines:
        return lines.readline()
