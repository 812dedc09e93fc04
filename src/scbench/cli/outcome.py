"""The end of a sweep on the terminal: its table, its failures, where its files are and how to open them."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path


def show(manifest: Path) -> None:
    """Print it all; what has not been made (report, MLflow) is passed over."""
    from scbench.report.terminal import render_terminal
    from scbench.report.tracking_failure import TRACKED, failure
    from scbench.results.text import visible

    render_terminal(manifest)
    report = manifest.parent / "report.html"
    if report.exists():
        print(f"open the report: {shlex.join([sys.executable, '-m', 'webbrowser', report.resolve().as_uri()])}")
    tracked = manifest.parent / TRACKED
    refused = failure(tracked)
    if refused:
        print(f"mlflow: not tracked, the next sweep tries again: {visible(refused)}")
    elif tracked.exists():
        known = json.loads(tracked.read_text(encoding="utf-8"))
        print(f"mlflow: {known['tracking_uri']}")
        if known["start"]:
            print(f"open mlflow: {known['start']}")
        print(f"compare: {known['compare']}")
