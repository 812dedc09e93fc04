"""MLflow's own pages of a sweep, served as `make ui` does, in a real browser. Screenshots stay in build/screenshots."""

import json
import os
import re
import shutil
import socket
from pathlib import Path

import pytest

from scbench.errors import ScbenchError
from scbench.report.artifacts import attach_sweep
from scbench.report.mlflow_server import served
from scbench.report.tracking import track_sweep
from scbench.results.scores import score_sweep
from scbench.results.tables import tables_sweep
from sweep_builder import MIB, answers, cell, write_sweep

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SHOTS = Path(__file__).parents[2] / "build" / "screenshots"
PATIENCE = 240_000  # milliseconds: MLflow's pages are large
ACCOUNTS = "/mlflow/users/current"  # MLflow's pages ask who is there, and a server without accounts does not know
METHODS = {"aa": ("dense", 8), "bb": ("streaming_llm", 2), "cc": ("snapkv", 2), "dd": ("kivi", 3)}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    cells = {name: cell(method) for name, (method, _) in METHODS.items()}
    records = [
        answers(name, session, [(number + turn + len(session)) % 3 > 0 for turn in range(5)], stored=size * MIB)
        for number, (name, (_, size)) in enumerate(METHODS.items())
        for session in ("s0", "s1")
    ]
    manifest = write_sweep(tmp_path_factory.mktemp("pages"), cells, records)
    score_sweep(manifest)
    tables_sweep(manifest)
    return manifest


@pytest.fixture(scope="module")
def tracked(sweep):
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        track_sweep(sweep)
        attach_sweep(sweep)
    return json.loads((sweep.parent / "mlflow.json").read_text())


@pytest.fixture(scope="module")
def pages(tracked, tmp_path_factory):
    """The address of the pages, at a port that was free."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with served(tracked["tracking_uri"], tmp_path_factory.mktemp("log") / "mlflow.log", port) as place:
        yield place


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("there is no chromium on the path (apt-get install chromium)")
    # Chromium's own sandbox refuses to work for root, as which continuous integration runs.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser):
    """Opens a page and waits for a text; in the end no script may have failed, no request, and no error been logged."""
    wrong, opened = [], []

    def refused(url, status):
        if status >= 400 and not url.endswith(ACCOUNTS):
            wrong.append((url, status))

    def logged(url, text):
        if not url.endswith(ACCOUNTS):
            wrong.append((url, text))

    def go(address, *texts):
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("response", lambda answer: refused(answer.url, answer.status))
        page.on("console", lambda said: logged(said.location["url"], said.text) if said.type == "error" else None)
        page.goto(address, timeout=PATIENCE)
        for text in texts:
            page.get_by_text(text).first.wait_for(timeout=PATIENCE)
        opened.append(page)
        return page

    yield go
    for page in opened:
        page.close()
    assert wrong == []


def shot(page, name):
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.wait_for_timeout(3000)  # charts are drawn after their titles
    page.screenshot(path=SHOTS / f"{name}.png")


def test_the_comparison_of_a_sweep_opens(pages, tracked, visit):
    page = visit(pages + tracked["compare"].removeprefix("http://127.0.0.1:5000"), "Parallel Coordinates Plot")
    text = page.locator("body").inner_text()
    assert "Comparing 4 Runs" in text
    shot(page, "mlflow_compare")
    for method in ("dense", "streaming_llm", "snapkv", "kivi"):
        assert page.get_by_text(re.compile(rf"^{method}")).count() > 0
    assert page.locator(".js-plotly-plot, .plotly").count() > 0


def test_a_run_shows_its_dataset_parameters_and_tags(pages, tracked, visit):
    run = tracked["runs"]["bb"]
    page = visit(f"{pages}/#/experiments/{tracked['experiment_id']}/runs/{run}", "kv_stored_mib", "retr_kv")
    shot(page, "mlflow_run")


def test_tables_are_there_to_be_read(pages, tracked, sweep, visit):
    run = json.loads((sweep.parent / "artifacts.json").read_text())["run"]
    page = visit(f"{pages}/#/experiments/{tracked['experiment_id']}/runs/{run}/artifacts/tables/cells.md", "cells.md")
    shot(page, "mlflow_artifacts")


def test_the_server_is_for_this_machine_alone(pages, tracked, tmp_path):
    host, port = re.fullmatch(r"http://([\d.]+):(\d+)", pages).groups()
    assert host == "127.0.0.1"
    own = next((a[4][0] for a in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)), None)
    if own is not None and not own.startswith("127."):
        with pytest.raises(ConnectionRefusedError), socket.create_connection((own, int(port)), timeout=5):
            pass
    with (
        pytest.raises(ScbenchError, match="something answers at http://127"),
        served(tracked["tracking_uri"], tmp_path / "mlflow.log", int(port)),
    ):
        pass


def test_a_server_that_cannot_start_says_where_the_reason_is(tmp_path, monkeypatch):
    monkeypatch.setattr("scbench.report.mlflow_server.sys.executable", "/bin/false")
    reason = r"does not come up .*mlflow\.log says why"
    with pytest.raises(ScbenchError, match=reason), served("sqlite:///x.db", tmp_path / "mlflow.log", 5999):
        pass
