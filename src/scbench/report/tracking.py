"""A sweep in MLflow: one flat run per cell, as many runs however often it is logged."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from scbench.grid.manifest import Manifest
from scbench.report.addresses import without_user
from scbench.report.cell_run import Asked, CellRun, Evaluated, cell_runs
from scbench.report.mlflow_links import address, comparison, is_server
from scbench.report.tracking_failure import TRACKED, TrackingRefused
from scbench.results.files import write_json_atomic, write_text_atomic
from scbench.results.lock import writer_lock
from scbench.results.summary import read_summary

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Run

EXPERIMENT = "scbench"
CONTENT = "scb.content"
MODEL = "scb.model"
ORIGIN = "scb.origin"
METRICS_PER_CALL = 800  # MLflow takes 1000 things at once: these, and up to 100 parameters

_log = logging.getLogger(__name__)


Told = Callable[[int, int], None]


def _nobody(done: int, of: int) -> None:
    """Nobody waits for it."""


@dataclass(frozen=True)
class Tracked:
    """Where a sweep's runs are (`runs`: run id by cell) and what this call did to get them there."""

    tracking_uri: str
    sweep: str
    experiment_id: str
    runs: Mapping[str, str]
    created: int
    unchanged: int
    deleted: int

    @property
    def page(self) -> str:
        """The page that compares the runs."""
        return address(self.tracking_uri) + comparison(self.experiment_id, list(self.runs.values()), self.sweep)


def track_sweep(manifest_path: Path, tracking_uri: str | None = None) -> Tracked:
    """Log a scored sweep to MLflow as `send_runs` does, and write `mlflow.json` beside its manifest.

    `tracking_uri` defaults to the environment's MLFLOW_TRACKING_URI, then to `mlflow.db` in the results folder.
    """
    tracked = send_runs(manifest_path, tracking_uri)
    folder = manifest_path.resolve().parent
    write_json_atomic(
        folder / TRACKED,
        {
            "tracking_uri": tracked.tracking_uri,
            "experiment": EXPERIMENT,
            "experiment_id": tracked.experiment_id,
            "compare": tracked.page,
            "start": "" if is_server(tracked.tracking_uri) else f"make ui SWEEP={folder.name}",
            "runs": dict(tracked.runs),
        },
    )
    return tracked


def send_runs(manifest_path: Path, tracking_uri: str | None = None, told: Told = _nobody) -> Tracked:
    """Make MLflow hold a run per cell of a scored sweep, and write nothing beside its manifest.

    A run that holds just this content already is left alone. One that does not (the sweep has changed, or the run was
    cut off) is deleted (MLflow can restore it) and made anew, for a run's parameters cannot be changed and new values
    of a metric would stand beside the old ones; one whose cell the sweep no longer has is deleted. So after an
    interruption the same call goes on. Runs that came from another results folder are left alone.
    `told` hears how many of how many runs are there. Raises `TrackingRefused` when the server refuses.
    """
    summary, manifest = read_summary(manifest_path), Manifest.read(manifest_path.resolve())
    root, runs = summary.sweep.root, cell_runs(summary, manifest)
    with connected(root, tracking_uri) as (client, uri):
        return _synchronise(client, uri, root, summary.sweep.name, runs, told)


@contextmanager
def connected(root: Path, tracking_uri: str | None = None) -> Iterator[tuple[MlflowClient, str]]:
    """The one client of a results folder at a time, and the address that it talks to.

    Raises `TrackingRefused`, one line without a password, for what MLflow refuses inside.
    """
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root / 'mlflow.db'}"
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # two lines for every run
    # Slow to import (3 s), and it reads the environment as it is imported.
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    # Two processes that make a fresh database at once break it.
    with writer_lock(root / "mlflow.lock", root / "mlflow.db", wait=None, on_wait=_log.warning):
        try:
            yield MlflowClient(uri), uri
        except (MlflowException, SQLAlchemyError, OSError) as error:
            line = f"MLflow at {uri}: {(str(error).splitlines() or [repr(error)])[0]}"
            raise TrackingRefused(without_user(line, uri)) from error


def origin(root: Path) -> str:
    """What names a results folder on a server that others use too, wherever the folder is moved to."""
    file = root / "mlflow.origin"
    if not file.exists():
        write_text_atomic(file, uuid4().hex)
    return file.read_text(encoding="utf-8").strip()


def runs_of(client: MlflowClient, experiment_id: str, sweep: str, root: Path) -> list[Run]:
    """All runs of a sweep of this results folder: its cells' and the one with its artifacts."""
    runs: list[Run] = []
    own, token = origin(root), None
    while True:
        page = client.search_runs([experiment_id], f'tags.`scb.sweep` = "{sweep}"', max_results=1000, page_token=token)
        runs += (run for run in page if run.data.tags.get(ORIGIN, own) == own)
        token = page.token
        if not token:
            return runs


def _synchronise(
    client: MlflowClient, uri: str, root: Path, sweep: str, runs: Mapping[str, CellRun], told: Told
) -> Tracked:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is not None:
        experiment_id = experiment.experiment_id
    else:
        # A server chooses its own place; a local database would take the current folder.
        location = (root / "mlartifacts").as_uri() if uri.startswith("sqlite:") else None
        experiment_id = client.create_experiment(EXPERIMENT, artifact_location=location)
    kept: dict[str, str] = {}
    deleted = 0
    for run in runs_of(client, experiment_id, sweep, root):
        cell = run.data.tags.get("scb.cell")
        if cell is None:
            continue
        current = cell in runs and cell not in kept and run.data.tags.get(CONTENT) == runs[cell].digest
        if current:
            kept[cell] = run.info.run_id
        else:
            client.delete_run(run.info.run_id)
            deleted += 1
    model_of = cache(partial(_logged_model, client, experiment_id))
    ids: dict[str, str] = {}
    for cell, content in runs.items():
        told(len(ids), len(runs))
        ids[cell] = kept.get(cell) or _log_run(client, experiment_id, content, origin(root), model_of)
    told(len(ids), len(runs))
    return Tracked(without_user(uri, uri), sweep, experiment_id, ids, len(ids) - len(kept), len(kept), deleted)


def _logged_model(client: MlflowClient, experiment_id: str, model: Evaluated) -> str:
    """The id of a model in MLflow, which is made where it is not there yet: runs of all sweeps share it."""
    known = client.search_logged_models([experiment_id], filter_string=f"tags.`{MODEL}` = '{model.digest}'")
    if known:
        return str(known[0].model_id)
    made = client.create_logged_model(
        experiment_id, model.name, tags={MODEL: model.digest}, params=dict(model.params), model_type="language model"
    )
    client.finalize_logged_model(made.model_id, "READY")
    return str(made.model_id)


def _log_run(
    client: MlflowClient, experiment_id: str, run: CellRun, own: str, model_of: Callable[[Evaluated], str]
) -> str:
    """Make the run; the tag that says it is complete comes last."""
    from mlflow.entities import LoggedModelInput, Metric, Param, RunTag

    now = int(time.time() * 1000)
    made = client.create_run(experiment_id, start_time=now, tags={**run.tags, ORIGIN: own}, run_name=run.name)
    run_id: str = made.info.run_id
    datasets = [] if run.asked is None else [_dataset(run.asked)]
    client.log_inputs(run_id, datasets, [LoggedModelInput(model_of(run.model))])
    metrics = [Metric(name, value, now, step) for name, step, value in run.metrics]
    params = [Param(key, value) for key, value in run.params.items()]
    complete = [RunTag(CONTENT, run.digest)]
    batches = range(0, max(1, len(metrics)), METRICS_PER_CALL)
    for start in batches:
        tags = complete if start == batches[-1] else []
        client.log_batch(run_id, metrics[start : start + METRICS_PER_CALL], params if start == 0 else [], tags)
    client.set_terminated(run_id, "FAILED" if run.failed else "FINISHED", end_time=now)
    return run_id


def _dataset(asked: Asked) -> DatasetInput:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source, profile = json.dumps({"uri": asked.source}), json.dumps({"num_sessions": asked.sessions})
    dataset = Dataset(asked.name, asked.digest, "local", source, profile=profile)
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "evaluation")])
