"""`scbench search-minference` on a tiny model: the table it writes is one, and can be used."""

import json

import pytest

from scbench.cli import main
from scbench.methods.generation.minference_table import read

SAMPLE = ["task=retr_kv", "task.length=300", "task.turns=2", "mode=multi_request"]
LOOKING = ["method.near=8", "method.first=4", "method.block=16"]


@pytest.fixture
def command(folder, tmp_path):
    def ran(*more):
        return main(["search-minference", "--output", str(tmp_path / "t.json"), f"model.path={folder}", *SAMPLE, *more])

    return ran


def test_a_table_is_written_with_what_it_was_made_from(command, folder, tmp_path, capsys):
    assert command(*LOOKING, "task.seed=3", "--budget", "0.3") == 0
    table, data = read(str(tmp_path / "t.json")), json.loads((tmp_path / "t.json").read_text())
    table.check(3, 4)
    assert table.missing == 0
    assert data["model"] == str(folder)
    source = data["source"]
    assert (source["task"]["name"], source["task"]["options"]["seed"], source["mode"]) == (
        "retr_kv",
        3,
        "multi_request",
    )
    assert (source["budget"], source["last"], source["first"], source["near"], source["block"]) == (0.3, 64, 4, 8, 16)
    assert 250 < source["tokens"] < 400
    for name, most in (("recall", 1), ("density", 0.3)):
        assert [len(row) for row in data[name]] == [4, 4, 4]
        assert all(0 < value <= most for row in data[name] for value in row)
    said = capsys.readouterr().out
    assert f"method.minference.table={tmp_path / 't.json'}" in said
    assert f"of {source['tokens']} tokens" in said


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--budget", "0"], "--budget 0: give a share"),
        (["--budget", "1.5"], "--budget 1.5: give a share"),
        (["method=snapkv"], "'method=snapkv': the method is minference here"),
        (["task.seed=1,2"], "these overrides make 2 cells"),
        (["model.window=40"], "search-minference: session s0-0000"),
    ],
)
def test_mistakes_are_answered_in_a_line(command, tmp_path, capsys, more, words):
    assert command(*more) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert words in said
    assert not (tmp_path / "t.json").exists()


def test_an_interrupted_search_leaves_no_file(command, tmp_path, capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("scbench.run.searching.search", interrupted)
    assert command() == 130
    assert "interrupted: nothing was written" in capsys.readouterr().err
    assert not (tmp_path / "t.json").exists()
