import json
import time
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from shutil import copytree
from urllib.parse import parse_qs

import pandas as pd
import pytest

from scbench.cli import main
from scbench.errors import ScbenchError
from scbench.report.artifacts import attach_sweep
from scbench.report.html import report_sweep
from scbench.report.mlflow_links import address, comparison
from scbench.report.tracking import track_sweep
from scbench.report.tracking_failure import forget_failures
from scbench.results.files import write_text_atomic
from scbench.results.frames import save_scored
from scbench.results.labels import labels
from scbench.results.scores import score_sweep
from scbench.results.session_hashes import fingerprints
from scbench.results.store import CellStore
from scbench.results.tables import tables_sweep
from sweep_builder import MIB, answers, cell, write_sweep


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """One sweep and one database for the module: MLflow takes seconds to make one."""
    root = tmp_path_factory.mktemp("tracked")
    cells = {"aa": cell(), "bb": cell("streaming_llm", budget=0.25), "cc": cell(model="gone")}
    method = replace(cells["bb"].methods[0], target="scbench.methods.compression.streaming_llm.StreamingLLM")
    cells["bb"] = replace(cells["bb"], methods=(method,))
    records = [
        answers("aa", "s0", [True, False], stored=8 * MIB),
        answers("aa", "s1", [True, True], stored=8 * MIB),
        answers("bb", "s0", [False, True]),
    ]
    manifest = write_sweep(root, cells, records, failed={"cc": "model 'gone' is not there"})
    score_sweep(manifest)
    return manifest


def test_runs_are_logged_once_and_renewed_only_when_they_changed(sweep, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    before = set(Path.cwd().iterdir())
    first = track_sweep(sweep)
    assert (first.created, first.unchanged, first.deleted) == (3, 0, 0)

    from mlflow import MlflowClient

    client = MlflowClient(first.tracking_uri)

    def runs():
        found = client.search_runs([first.experiment_id])
        return {run.data.tags["scb.cell"]: run for run in found}, len(found)

    by_cell, number = runs()
    assert number == 3
    dense = by_cell["aa"]
    assert dense.data.metrics == {
        "strict": 75.0,
        "ref": 75.0,
        "kv_stored_mib": 8.0,
        "kv_share": 100.0,
        "turn_strict": 50.0,
        "turn_ref": 50.0,
        "turn_kv_stored_mib": 8.0,
        "prefill_shared_s": 2.0,
        "decode_batch_s": 0.5,
        "decode_batch_width": 2.0,
        **{f"turns_{name}": 0.0 for name in ("noop", "truncated", "oom", "timeout", "error")},
        "turns_ok": 4.0,
    }
    steps = [(m.step, m.value) for m in client.get_metric_history(dense.info.run_id, "turn_strict")]
    assert sorted(steps) == [(1, 100.0), (2, 50.0)]
    assert dense.data.params["task.length"] == "512"
    (given,) = dense.inputs.dataset_inputs
    hashes = fingerprints(sweep.parents[1] / "sessions" / "src-aa.jsonl")
    assert given.dataset.name == "retr_kv" and json.loads(given.dataset.source) == {"uri": "sessions/src-aa.jsonl"}
    assert given.dataset.digest == sha256(json.dumps(sorted(hashes.items())).encode()).hexdigest()[:32]
    assert not by_cell["cc"].inputs.dataset_inputs
    whole = {name: client.get_run(run.info.run_id) for name, run in by_cell.items()}
    models = {name: [one.model_id for one in run.inputs.model_inputs] for name, run in whole.items()}
    assert models["aa"] == models["bb"] != models["cc"]
    assert client.get_logged_model(models["aa"][0]).name == "tiny"
    assert client.get_logged_model(models["aa"][0]).status == "READY"
    tags = {key: dense.data.tags[key] for key in ("scb.sweep", "model", "method", "task", "mode", "stage")}
    assert tags == {
        "scb.sweep": "trial",
        "model": "tiny",
        "method": "dense",
        "task": "retr_kv",
        "mode": "multi_turn",
        "stage": "none",
    }
    assert by_cell["bb"].data.tags["stage"] == "compression"
    assert by_cell["bb"].data.tags["budget"] == "25%"
    assert (by_cell["cc"].info.status, by_cell["cc"].data.tags["scb.reason"]) == (
        "FAILED",
        "model 'gone' is not there",
    )
    assert "strict" not in by_cell["cc"].data.metrics

    again = track_sweep(sweep)
    assert (again.created, again.unchanged, again.deleted) == (0, 3, 0)
    assert again.runs == first.runs

    with CellStore(sweep.parents[1], "bb").writer(wait=0) as writer:
        writer.append(answers("bb", "s1", [True, True]))
    score_sweep(sweep)
    third = track_sweep(sweep)
    assert (third.created, third.unchanged, third.deleted) == (1, 2, 1)
    by_cell, number = runs()
    assert number == 3
    assert by_cell["bb"].data.metrics["strict"] == 75.0
    assert (by_cell["aa"].info.run_id, by_cell["bb"].info.status) == (first.runs["aa"], "FINISHED")

    saved = json.loads((sweep.parent / "mlflow.json").read_text())
    assert saved["runs"] == dict(third.runs)
    assert saved["start"] == "make ui SWEEP=trial"
    address, _, query = saved["compare"].partition("/#/compare-runs?")
    assert address == "http://127.0.0.1:5000"
    assert {name: json.loads(*values) for name, values in parse_qs(query).items()} == {
        "runs": list(third.runs.values()),
        "experiments": [third.experiment_id],
    }
    assert set(Path.cwd().iterdir()) == before  # nothing beside the results folder


def test_a_server_that_is_not_there_is_one_line_without_the_password(sweep, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(ScbenchError, match=r"^MLflow at http://127\.0\.0\.1:9: ") as caught:
        track_sweep(sweep, "http://user:secret@127.0.0.1:9")
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_refusal_is_written_down_shown_and_forgotten(sweep, tmp_path, monkeypatch, capsys):
    sweep = copytree(sweep.parents[1], tmp_path / "results") / "trial" / "manifest.json"
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:9")
    for options in ((), ("--artifacts",)):
        assert main(["track", *options, "--manifest", str(sweep)]) == 0
    assert "not tracked: MLflow at http://127.0.0.1:9" in capsys.readouterr().err
    for name in ("mlflow.json", "artifacts.json"):
        saved = json.loads((sweep.parent / name).read_text())
        assert set(saved) == {"failed"} and saved["failed"].startswith("MLflow at http://127.0.0.1:9: ")
        assert "secret" not in saved["failed"]
    tables_sweep(sweep)
    report_sweep(sweep)
    assert "Not tracked in MLflow: MLflow at http://127.0.0.1:9" in (sweep.parent / "report.html").read_text()
    assert main(["show", "--manifest", str(sweep)]) == 0
    assert "mlflow: not tracked, the next sweep tries again: MLflow at" in capsys.readouterr().out
    forget_failures(sweep.parent)
    assert not (sweep.parent / "mlflow.json").exists() and not (sweep.parent / "artifacts.json").exists()


def test_tables_figures_and_report_are_artifacts_of_one_run(sweep, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    from mlflow import MlflowClient

    tables_sweep(sweep)
    write_text_atomic(sweep.parent / "figures" / "turns.svg", "<svg/>")
    tracked = track_sweep(sweep)
    first, again = attach_sweep(sweep), attach_sweep(sweep)
    assert (first.unchanged, again.unchanged, again.run_id) == (False, True, first.run_id)
    write_text_atomic(sweep.parent / "report.html", "<p>report</p>")
    later = attach_sweep(sweep)
    assert later.run_id != first.run_id and later.files == first.files + 1
    client = MlflowClient(tracked.tracking_uri)
    found = client.search_runs([tracked.experiment_id], "tags.`scb.kind` = 'artifacts'")
    assert [run.info.run_id for run in found] == [later.run_id]
    assert {"report.html", "scores.csv", "tables", "figures"} <= {f.path for f in client.list_artifacts(later.run_id)}
    assert [f.path for f in client.list_artifacts(later.run_id, "figures")] == ["figures/turns.svg"]
    assert "tables/cells.md" in {f.path for f in client.list_artifacts(later.run_id, "tables")}
    assert track_sweep(sweep).deleted == 0  # it is no cell's run, and stays


def test_artifacts_need_a_tracked_sweep(tmp_path):
    with pytest.raises(ScbenchError, match=r"there is no .*mlflow\.json; track the sweep first"):
        attach_sweep(tmp_path / "trial" / "manifest.json")


def test_pages_of_a_server_are_the_servers_and_many_runs_are_charts():
    assert address("https://tracking.example/base/") == "https://tracking.example/base"
    assert address("sqlite:///results/mlflow.db", 5050) == "http://127.0.0.1:5050"
    page = comparison("3", [f"run{n}" for n in range(101)], "my sweep")
    query = parse_qs(page.partition("?")[2])
    assert page.startswith("/#/experiments/3/runs?") and query["compareRunsMode"] == ["CHART"]
    assert query["searchFilter"] == ['tags.`scb.sweep` = "my sweep" AND tags.`scb.cell` != ""']


@pytest.mark.slow
def test_many_turns_of_many_cells_are_logged_in_time(tmp_path, monkeypatch):
    """A tenth of 1,000 cells × 500 turns, in a tenth of the time that they may take, MLflow's start included."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    cells = {f"{n:04x}": cell("snapkv", budget=n + 1) for n in range(100)}
    sessions = [f"s{n}" for n in range(100)]
    records = [answers("0000", session, [True, False, True, True, False]) for session in sessions]
    manifest = write_sweep(tmp_path, cells, records, sessions)
    scored = score_sweep(manifest)
    one = scored.scores[scored.scores["cell"] == "0000"]
    names = {name: label.columns for name, label in labels(cells).items()}
    scores = pd.concat([one.assign(cell=name, **names[name]) for name in cells])
    save_scored(replace(scored, scores=scores, failures=scored.failures[:0]), manifest.parent)
    began = time.process_time()
    assert track_sweep(manifest).created == 100
    assert time.process_time() - began < 30  # of this process: others may be busy
