"""`scbench track --to`: sweeps that ran offline, sent later, as often as it takes."""

import socket
from collections.abc import Callable
from pathlib import Path
from shutil import copytree

import pytest
from mlflow import MlflowClient

from scbench.cli import main
from scbench.report.mlflow_server import served
from scbench.report.tracking import track_sweep
from scbench.results.scores import score_sweep
from scbench.results.store import CellStore
from scbench.results.tables import tables_sweep
from sweep_builder import answers, cell, write_sweep

CELLS = ("aa", "bb", "cc")
Sends = Callable[..., str]


def scored(root: Path, right: bool = True) -> Path:
    """A results folder with a sweep of three cells, scored and with tables."""
    cells = dict(zip(CELLS, (cell(), cell("snapkv", budget=0.25), cell("snapkv", budget=0.5)), strict=True))
    manifest = write_sweep(root, cells, [answers(name, "s0", [right, False]) for name in CELLS], ["s0"])
    score_sweep(manifest)
    tables_sweep(manifest)
    return manifest


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    return scored(tmp_path / "results").parents[1]


@pytest.fixture
def send(capsys: pytest.CaptureFixture[str]) -> Sends:
    def call(uri: str, *sweeps: str) -> str:
        assert main(["track", *sweeps, "--to", uri]) == 0
        return capsys.readouterr().out

    return call


def runs(uri: str) -> dict[str, list[str]]:
    """The ids of all runs of the database or server, by cell; those with artifacts under ''."""
    client = MlflowClient(uri)
    found: dict[str, list[str]] = {}
    for run in client.search_runs([one.experiment_id for one in client.search_experiments()]):
        assert run.data.tags["scb.content"] and run.info.status == "FINISHED"
        found.setdefault(run.data.tags.get("scb.cell", ""), []).append(run.info.run_id)
    return found


def check_sending(uri: str, results: Path, send: Sends, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sent, sent again, cut off and gone on with, sent after a change: one run per cell at every end."""
    log_batch, cut = MlflowClient.log_batch, []

    def cut_off(self, run_id: str, *arguments: object) -> None:
        cut.append(run_id)
        if len(cut) == 2:
            raise ConnectionError("the network is gone")
        log_batch(self, run_id, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_batch", cut_off)
        assert main(["track", "--to", uri]) == 2
    assert send(uri).startswith("trial: 2 runs sent, 1 there already, 1 deleted; ")
    first = runs(uri)
    assert {name: len(ids) for name, ids in first.items()} == {"": 1, **dict.fromkeys(CELLS, 1)}
    assert first["aa"] == cut[:1]
    again = send(uri, "trial")
    assert again.startswith("trial: 0 runs sent, 3 there already, 0 deleted; ") and "files there already" in again
    assert runs(uri) == first

    store = CellStore(results, "bb")
    store.path.unlink()
    with store.writer(wait=0) as writer:
        writer.append(answers("bb", "s0", [True, True]))
    score_sweep(results / "trial/manifest.json")
    tables_sweep(results / "trial/manifest.json")
    assert send(uri).startswith("trial: 1 runs sent, 2 there already, 1 deleted; ")
    last = runs(uri)
    assert {name: len(ids) for name, ids in last.items()} == {"": 1, **dict.fromkeys(CELLS, 1)}
    assert (last["aa"], last["cc"]) == (first["aa"], first["cc"]) and last["bb"] != first["bb"]
    client = MlflowClient(uri)
    assert client.get_run(last["bb"][0]).data.metrics["strict"] == 100.0
    (artifacts,) = last[""]
    assert "tables" in {file.path for file in client.list_artifacts(artifacts)}
    saved = client.download_artifacts(artifacts, "scores.csv", str(results.parent))
    assert Path(saved).read_bytes() == (results / "trial/scores.csv").read_bytes()


def test_a_sweep_is_sent_to_a_database(results: Path, send: Sends, monkeypatch: pytest.MonkeyPatch) -> None:
    check_sending(f"sqlite:///{results.parent / 'shared.db'}", results, send, monkeypatch)


@pytest.mark.slow
def test_a_sweep_is_sent_to_a_server(results: Path, send: Sends, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    shared = f"sqlite:///{results.parent / 'shared.db'}"
    with served(shared, results.parent / "server.log", port) as uri:
        check_sending(uri, results, send, monkeypatch)
        assert f"; {uri}/#/compare-runs?" in send(uri)
    assert main(["track", "--to", uri]) == 2  # it is gone


def test_what_is_known_here_stays_and_another_folders_runs_too(results: Path, tmp_path: Path, send: Sends) -> None:
    tracked = track_sweep(results / "trial/manifest.json")
    before = {path: path.read_bytes() for path in (results / "trial").rglob("*") if path.is_file()}
    uri = f"sqlite:///{tmp_path / 'shared.db'}"
    send(uri)
    assert {path: path.read_bytes() for path in (results / "trial").rglob("*") if path.is_file()} == before
    assert sorted(runs(tracked.tracking_uri)) == sorted(CELLS)
    other = scored(tmp_path / "other/results", right=False).parent
    mine = runs(uri)
    assert "3 runs sent, 0 there already, 0 deleted" in send(uri, str(other))
    both = runs(uri)
    assert all(len(both[name]) == 2 and set(mine[name]) < set(both[name]) for name in ("", *CELLS))
    assert "0 runs sent, 3 there already, 0 deleted" in send(uri)
    moved = copytree(results, tmp_path / "moved")
    assert "0 runs sent, 3 there already, 0 deleted" in send(uri, str(moved / "trial"))
    assert runs(uri) == both


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["track"], "say where to: `scbench track --to URI`"),
        (["track", "--to", "sqlite:///x.db", "tril"], "there is no sweep 'tril'; did you mean 'trial'?"),
        (["track", "--to", "ftp://nowhere"], "MLflow at ftp://nowhere: "),
    ],
)
def test_mistakes(arguments: list[str], message: str, results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"scbench: {message}") and error.count("\n") == 1


def test_without_sweeps_there_is_nothing_to_send(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["track", "--to", "sqlite:///x.db"]) == 2
    assert "no sweep in results/ has been scored yet" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
