"""MLflow: `scbench track` sends sweeps there, `scbench ui` opens its pages at the comparison of a sweep's runs."""

from __future__ import annotations

import argparse
import json
import threading
import webbrowser
from pathlib import Path
from urllib.parse import urlsplit

from scbench.cli import jobs
from scbench.cli.sweeps import MANIFEST, RESULTS, find_sweep
from scbench.errors import ScbenchError

TRACKED = "mlflow.json"


def track(arguments: argparse.Namespace) -> int:
    """Send sweeps to a server that could not be reached when they ran; or be the workflow's job."""
    if arguments.manifest is not None and arguments.to is None:
        return jobs.track(arguments)
    if arguments.to is None:
        raise ScbenchError("say where to: `scbench track --to URI` (a sweep is tracked by itself when it ends)")
    if arguments.manifest is not None:
        manifests = [arguments.manifest]
    else:
        manifests = [find_sweep(sweep) for sweep in arguments.sweeps] or _scored()
    for manifest in manifests:
        print(_sent(manifest, arguments.to), flush=True)
    return 0


def _scored() -> list[Path]:
    """The manifests of all sweeps that have scores."""
    found = sorted(path.parent / MANIFEST for path in RESULTS.glob("*/scores.csv"))
    if not found:
        raise ScbenchError(f"no sweep in {RESULTS}/ has been scored yet; there is nothing to send")
    return found


def _sent(manifest: Path, uri: str) -> str:
    """Send a sweep's runs, then its tables, figures and report; what was done, in one line."""
    from rich.console import Console
    from rich.progress import Progress

    from scbench.report.artifacts import send_artifacts
    from scbench.report.mlflow_links import is_server
    from scbench.report.tracking import send_runs

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        bar = bars.add_task(manifest.parent.name, total=None)
        sent = send_runs(manifest, uri, lambda done, of: bars.update(bar, completed=done, total=of))
    attached = send_artifacts(manifest, sent.experiment_id, uri)
    files = f"{attached.files} files {'there already' if attached.unchanged else 'sent'}"
    runs = f"{sent.created} runs sent, {sent.unchanged} there already, {sent.deleted} deleted"
    return f"{manifest.parent.name}: {runs}; {files}" + (f"; {sent.page}" if is_server(uri) else "")


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
