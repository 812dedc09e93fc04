"""`scbench fetch` against a small hub of the same schema, then a run with no hub at all."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from fetching.fake_hub import COMMIT, FakeHub, serving
from scbench.config.compose import compose
from scbench.config.files import ROOT
from scbench.fetching.hub import HubData, HubModel
from scbench.fetching.local import Local, Packaged
from scbench.fetching.wanted import wanted
from scbench.models import embedded
from scbench.tasks.hub_files import files_of
from tasks.published_rows import ROWS

CONF = ROOT / "conf"
MODEL, DATA = "someone/tiny-llama", "someone/SCBench"
PUBLISHED, KV_ROWS = ROWS["retr_kv"]
OVERRIDES = ["model=tiny_llama", f"model.path={MODEL}", "method=dense", "task=retr_kv", "task.limit=2"]
FROM_HUB = [*OVERRIDES, f"task.data=hub:{DATA}@{COMMIT}", "task.max_new_tokens=2", "engine.fidelity=none"]
READ = {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}

Call = Callable[..., subprocess.CompletedProcess[str]]


def shard(folder: Path, rows: Sequence[object]) -> bytes:
    file = folder / "rows.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    return file.read_bytes()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    """A hub with a tiny model, in two forms, and a data set of two configurations, one in two shards."""
    folder = embedded.bundled("embedded:tiny-llama")
    assert folder is not None
    model = {file.name: file.read_bytes() for file in folder.iterdir()}
    model |= {"original/params.json": b"{}", "consolidated.safetensors": b"0" * 9000, "pytorch_model.bin": b"0" * 9000}
    data = {
        f"{PUBLISHED}/test-0000{n}-of-00002.parquet": shard(tmp_path, [{**row, "id": n}])
        for n, row in enumerate(KV_ROWS)
    } | {
        "data/scbench_mf.jsonl": b"{}",
        "README.md": b"x",
    }
    with serving() as hub:
        hub.files = {("models", MODEL): model, ("datasets", DATA): data}
        yield hub


@pytest.fixture
def call(hub: FakeHub, tmp_path: Path) -> Call:
    """A command of scbench in a process of its own: the hub's client reads its environment as it is imported."""

    def run(*arguments: str, code: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "scbench", *arguments],
            cwd=tmp_path,
            env=environment(hub, tmp_path) | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return run


def environment(hub: FakeHub, folder: Path) -> dict[str, str]:
    hidden = {"HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "SCBENCH_CONF", "http_proxy", "HTTP_PROXY"}
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    return kept | {
        "PYTHONPATH": str(ROOT / "src"),
        "HF_ENDPOINT": hub.address,
        "HF_HOME": str(folder / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "SCBENCH_CACHE": str(folder / "cache"),
        "MLFLOW_TRACKING_URI": "",
    }


def test_what_is_missing_is_brought_and_nothing_else(hub: FakeHub, call: Call) -> None:
    looked = call("fetch", "--dry-run", *FROM_HUB).stdout.splitlines()
    assert hub.downloads() == []
    weights = len(hub.files["models", MODEL]["model.safetensors"])
    size = sum(len(hub.files["models", MODEL][name]) for name in (*READ, "model.safetensors"))
    assert weights < size
    assert looked[0] == f"to fetch  model {MODEL}  {size / 2**20:.1f} MiB"
    assert looked[1].startswith(f"to fetch  data {DATA}@{COMMIT[:12]} {PUBLISHED}  ")
    assert looked[2].startswith("2 of 2 to fetch, ")

    brought = call("fetch", *FROM_HUB).stdout.splitlines()
    assert brought[:2] == looked[:2] and brought[2] == f"fetched   model {MODEL}"
    assert brought[-1] == "all 2 are here; where there is no network, set HF_HUB_OFFLINE=1"
    shards = {f"{PUBLISHED}/test-0000{n}-of-00002.parquet" for n in (0, 1)}
    assert sorted(hub.downloads()) == sorted({*READ, "model.safetensors"} | shards)

    hub.log.clear()
    again = call("fetch", *FROM_HUB).stdout.splitlines()
    assert [line.split()[0] for line in again] == ["here", "here", "all"]
    assert hub.downloads() == []


def test_after_an_end_in_the_middle_the_same_command_goes_on(hub: FakeHub, call: Call, tmp_path: Path) -> None:
    hub.stalls["model.safetensors"] = 100_000
    command = [sys.executable, "-m", "scbench", "fetch", *OVERRIDES]
    with subprocess.Popen(command, cwd=tmp_path, env=environment(hub, tmp_path), stdout=subprocess.DEVNULL) as process:
        assert hub.stalled.wait(60)
        whole = wait_for_files(tmp_path / "hf", READ)
        process.kill()
    hub.stalls.clear()
    hub.log.clear()
    looked = call("fetch", "--dry-run", *OVERRIDES).stdout
    size = len(hub.files["models", MODEL]["model.safetensors"])
    assert looked.startswith(f"to fetch  model {MODEL}  {size / 2**20:.1f} MiB of ")
    assert "all 1 are here" in call("fetch", *OVERRIDES).stdout
    assert hub.downloads() == ["model.safetensors"] and whole == READ
    (file,) = (tmp_path / "hf").rglob("snapshots/*/model.safetensors")
    assert file.read_bytes() == hub.files["models", MODEL]["model.safetensors"]


def wait_for_files(folder: Path, names: set[str]) -> set[str]:
    """The names among the cache's files, when all of them are there or a minute is over."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        found = {file.name for file in folder.rglob("snapshots/*/*")}
        if found >= names:
            return found
        time.sleep(0.1)
    raise AssertionError(f"of {names} only {found} came")


def test_a_connection_that_breaks_is_taken_up_again(hub: FakeHub, call: Call, tmp_path: Path) -> None:
    hub.cuts["model.safetensors"] = 100_000
    assert "all 1 are here" in call("fetch", *OVERRIDES).stdout
    assert hub.downloads().count("model.safetensors") == 2
    (file,) = (tmp_path / "hf").rglob("snapshots/*/model.safetensors")
    assert file.read_bytes() == hub.files["models", MODEL]["model.safetensors"]


@pytest.mark.slow
def test_then_a_run_needs_no_network(hub: FakeHub, call: Call, tmp_path: Path) -> None:
    offline = {"HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:9"}
    failed = call("run", *FROM_HUB, code=2, **offline).stderr.splitlines()[-1]
    assert failed.startswith(f"scbench: model.path={MODEL}: cannot be loaded (")
    assert "; run `scbench fetch` with the same overrides where there is a network, or give a folder" in failed

    call("fetch", *OVERRIDES)
    failed = call("run", *FROM_HUB, code=2, **offline).stderr.splitlines()[-1]
    assert failed.startswith(f"scbench: hub:{DATA}@{COMMIT[:12]}, {PUBLISHED}: cannot be read (")
    assert "run `scbench fetch` with the same overrides where there is a network" in failed

    call("fetch", *FROM_HUB)
    hub.log.clear()
    assert "all 2 are here" in call("fetch", *FROM_HUB, **offline).stdout
    call("run", *FROM_HUB, **offline)
    assert hub.log == []
    (records,) = (tmp_path / "results/cells").glob("*/0.jsonl")
    found = [json.loads(line) for line in records.read_text().splitlines()]
    assert [record["gold"] for record in found] == [turn["answer"] for row in KV_ROWS for turn in row["multi_turns"]]


def test_a_missing_shard_is_not_passed_over(hub: FakeHub, call: Call, tmp_path: Path) -> None:
    call("fetch", *FROM_HUB)
    (one,) = (tmp_path / "hf").rglob("snapshots/*/*/test-00001-of-00002.parquet")
    one.unlink()
    offline = {"HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:9"}
    left = call("fetch", *FROM_HUB, code=1, **offline)
    assert "HF_HUB_OFFLINE is set" in left.stderr and f"to fetch  data {DATA}" in left.stdout
    failed = call("run", *FROM_HUB, code=2, **offline).stderr.splitlines()[-1]
    assert "cannot be read (" in failed


def test_what_cannot_be_had_is_a_line_each(hub: FakeHub, call: Call) -> None:
    hub.files["models", "someone/gated"] = {"config.json": b"{}", "model.safetensors": b"0"}
    hub.files["models", "someone/pickled"] = {"config.json": b"{}", "pytorch_model.bin": b"0"}
    hub.gated.add("someone/gated")
    models = f"model.path=someone/nowhere,someone/gated,someone/pickled,./nowhere,{MODEL}"
    data = f"task.data=hub:{DATA}@{COMMIT},rows.jsonl"
    done = call("fetch", "model=tiny_llama", models, "task=en_qa", data, code=1)
    expected = (
        "model someone/nowhere: not on the hub, or private: log in here",
        "model someone/pickled: has no safetensors",
        "model.path=./nowhere: is not there",
        f"data {DATA}@{COMMIT[:12]} scbench_qa_eng: the data set has no files of that name",
        "task.data=rows.jsonl: is not there",
        "model someone/gated: gated: accept its licence",  # known when its files are asked for
    )
    for line, start in zip(done.stderr.splitlines(), expected, strict=True):
        assert line.startswith(f"scbench: {start}")
    assert f"fetched   model {MODEL}" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("6 of 7 could not be had")


def test_an_unknown_revision_is_one_line(hub: FakeHub, call: Call) -> None:
    done = call("fetch", *OVERRIDES, "model.revision=abc", code=1)
    assert done.stderr.startswith(f"scbench: model {MODEL}@abc: the hub refuses (") and done.stderr.count("\n") == 1


def test_a_hub_that_is_not_there_is_one_line(hub: FakeHub, call: Call) -> None:
    done = call("fetch", *OVERRIDES, code=1, HF_ENDPOINT="http://127.0.0.1:9")
    assert done.stderr.startswith(f"scbench: model {MODEL}: cannot be fetched (") and done.stderr.count("\n") == 1


def test_without_room_nothing_begins(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from scbench.cli import main
    from scbench.fetching.thing import State

    monkeypatch.setattr("scbench.fetching.hub.HubModel.state", lambda self: State(2**60, 2**60))
    monkeypatch.setattr("scbench.fetching.hub.HubModel.bring", lambda self: pytest.fail("it began"))
    assert main(["fetch", *OVERRIDES]) == 2
    assert "1073741824.0 GiB to fetch, and " in capsys.readouterr().err


def test_an_experiment_wants_models_weights_of_methods_and_data_once() -> None:
    things = wanted(compose(["experiment=paper"], CONF).cells)
    models = [thing.repository for thing in things if thing.name.startswith("model ")]
    assert len(models) == len(set(models)) == 9 and "microsoft/llmlingua-2-xlm-roberta-large-meetingbank" in models
    data = [thing for thing in things if thing.name.startswith("data ")]
    assert len(data) == 12 and {thing.revision for thing in data} == {"f43226eed3a026f927a67c60739c228390d959c2"}
    assert len(things) == 21


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["model=tiny_llama"], [Packaged("embedded:tiny-llama")]),
        (["model=random_mamba2"], []),
        (["model.path=owner/name", f"model.revision={COMMIT}"], [HubModel("owner/name", COMMIT)]),
        (["model.path=owner/name", "model.trust_remote_code=true"], [HubModel("owner/name", None, True)]),
        (["model.path=/a/b"], [Local("model.path", "/a/b")]),
        (
            ["model=tiny_llama", f"task.data=hub@{COMMIT}", "task=retr_kv,math_find"],
            [
                Packaged("embedded:tiny-llama"),
                HubData("microsoft/SCBench", COMMIT, "scbench_kv"),
                HubData("microsoft/SCBench", COMMIT, "scbench_mf"),
            ],
        ),
        (["model=tiny_llama", "task.data=x.jsonl"], [Packaged("embedded:tiny-llama"), Local("task.data", "x.jsonl")]),
    ],
)
def test_what_overrides_want(overrides: list[str], expected: list[object]) -> None:
    assert wanted(compose(overrides, CONF).cells) == expected


def test_a_configurations_files_are_those_that_the_hub_serves() -> None:
    names = ["data/a.jsonl", "a/test-00001-of-00002.parquet", "a/test-00000-of-00002.parquet", "ab/test-0.parquet"]
    assert files_of("a", names) == ["a/test-00000-of-00002.parquet", "a/test-00001-of-00002.parquet"]
    assert files_of("a", names[:1]) == ["data/a.jsonl"]
    assert files_of("b", names) == []
