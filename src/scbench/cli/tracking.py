"""`scbench ui`: MLflow's pages, at the comparison of a sweep's runs."""

from __future__ import annotations

import argparse
import json
import threading
import webbrowser
from pathlib import Path
from urllib.parse import urlsplit

from scbench.cli.sweeps import RESULTS, find_sweep
from scbench.errors import ScbenchError

TRACKED = "mlflow.json"


def ui(arguments: argparse.Namespace) -> int:
    """Print and open the page; where only a database is there, serve it until Ctrl-C."""
    from scbench.report.mlflow_links import address, is_server
    from scbench.report.mlflow_server import served
    from scbench.report.tracking_failure import failure

    tracked = _tracked(arguments.sweep)
    refused = failure(tracked)
    if refused:
        raise ScbenchError(f"the sweep is not tracked ({refused}); run it again (`scbench sweep`)")
    known = json.loads(tracked.read_text(encoding="utf-8"))
    uri: str = known["tracking_uri"]
    page = address(uri, arguments.port) + known["compare"].removeprefix(address(uri))
    if is_server(uri):
        _show(page)
        return 0
    print(f"starting MLflow on {urlsplit(page).netloc} (half a minute)", flush=True)
    with served(uri, tracked.parent.parent / "mlflow.log", arguments.port):
        _show(page)
        print("Ctrl-C stops it", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return 0
    return 0


def _tracked(sweep: str | None) -> Path:
    """The file that says where MLflow has a sweep's runs; without a name, those of the sweep tracked last."""
    if sweep is not None:
        tracked = find_sweep(sweep).parent / TRACKED
        if not tracked.exists():
            raise ScbenchError(f"there is no {tracked}; run the sweep to its end (`scbench sweep`)")
        return tracked
    found = sorted(RESULTS.glob(f"*/{TRACKED}"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise ScbenchError(f"no sweep in {RESULTS}/ has been tracked yet; `scbench sweep` does that at its end")
    return found[-1]


def _show(page: str) -> None:
    print(page, flush=True)
    webbrowser.open(page)
