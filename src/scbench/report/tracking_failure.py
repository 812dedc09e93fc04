"""A refusal of MLflow, written down where its answer would be: no number of a sweep depends on it."""

from __future__ import annotations

import json
from pathlib import Path

from scbench.errors import ScbenchError
from scbench.results.files import write_json_atomic

TRACKED, ATTACHED = "mlflow.json", "artifacts.json"


class TrackingRefused(ScbenchError):
    """MLflow did not take a sweep."""


def record_failure(path: Path, reason: str) -> None:
    """Write why there is nothing to be found in MLflow; `path` is that of `TRACKED` or `ATTACHED`."""
    write_json_atomic(path, {"failed": reason})


def failure(path: Path) -> str:
    """Why MLflow has nothing; empty where it has something, or was not asked."""
    if not path.exists():
        return ""
    return str(json.loads(path.read_text(encoding="utf-8")).get("failed", ""))


def forget_failures(folder: Path) -> None:
    """Remove what only says that MLflow refused, so that it is asked again."""
    for path in (folder / TRACKED, folder / ATTACHED):
        if failure(path):
            path.unlink()
