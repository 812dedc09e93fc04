"""A sweep's tables, figures and report in MLflow: the artifacts of one run, which has no metrics."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scbench.errors import ScbenchError
from scbench.report.tracking import CONTENT, ORIGIN, connected, origin, runs_of
from scbench.report.tracking_failure import ATTACHED, TRACKED, TrackingRefused, failure
from scbench.results.files import write_json_atomic

KIND = "scb.kind"
ARTIFACTS = "artifacts"
FILES = ("manifest.json", "scores.csv", "costs.csv", "failures.csv", "report.html")
FOLDERS = ("tables", "figures")


@dataclass(frozen=True)
class Attached:
    """The run that has the artifacts, how many files they are, whether they were there already, and their hash."""

    run_id: str
    files: int
    unchanged: bool
    digest: str


def attach_sweep(manifest_path: Path, tracking_uri: str | None = None) -> Attached:
    """Put what was made of a tracked sweep beside its runs, and write `artifacts.json` beside its manifest.

    A run that has just these files is left alone; another is deleted and made anew. Raises `ScbenchError` where the
    sweep has not been tracked, or the server refuses.
    """
    folder = manifest_path.resolve().parent
    tracked = folder / TRACKED
    if not tracked.exists():
        raise ScbenchError(f"there is no {tracked}; track the sweep first (`scbench track`)")
    refused = failure(tracked)
    if refused:
        raise TrackingRefused(refused)
    experiment_id: str = json.loads(tracked.read_text(encoding="utf-8"))["experiment_id"]
    attached = send_artifacts(manifest_path, experiment_id, tracking_uri)
    write_json_atomic(folder / ATTACHED, {"run": attached.run_id, "files": attached.files, "sha256": attached.digest})
    return attached


def send_artifacts(manifest_path: Path, experiment_id: str, tracking_uri: str | None = None) -> Attached:
    """Make MLflow hold these files in one run, and write nothing; raises `TrackingRefused` when the server refuses."""
    folder = manifest_path.resolve().parent
    files, sweep = sorted(_files(folder)), folder.name
    digest = _digest(folder, files)
    with connected(folder.parent, tracking_uri) as (client, _):
        kept = None
        for run in runs_of(client, experiment_id, sweep, folder.parent):
            if run.data.tags.get(KIND) == ARTIFACTS:
                if kept is None and run.data.tags.get(CONTENT) == digest:
                    kept = run.info.run_id
                else:
                    client.delete_run(run.info.run_id)
        if kept is None:
            now = int(time.time() * 1000)
            tags = {"scb.sweep": sweep, KIND: ARTIFACTS, ORIGIN: origin(folder.parent)}
            made = client.create_run(experiment_id, start_time=now, tags=tags, run_name=f"{sweep}: tables and figures")
            for path in files:
                place = path.relative_to(folder).parent.as_posix()
                client.log_artifact(made.info.run_id, str(path), None if place == "." else place)
            client.set_tag(made.info.run_id, CONTENT, digest)
            client.set_terminated(made.info.run_id, "FINISHED", end_time=now)
        return Attached(kept or made.info.run_id, len(files), kept is not None, digest)


def _files(folder: Path) -> Iterator[Path]:
    yield from (folder / name for name in FILES if (folder / name).is_file())
    for name in FOLDERS:
        yield from (path for path in (folder / name).rglob("*") if path.is_file() and not path.name.startswith("."))


def _digest(folder: Path, files: list[Path]) -> str:
    sums = [(path.relative_to(folder).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()) for path in files]
    return hashlib.sha256(json.dumps(sums).encode()).hexdigest()
