"""`scbench score PATH`: sweeps, cells, record files, and prediction files of the original."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest

from scbench import cli
from scbench.errors import ScbenchError
from scbench.record import Outcome
from scbench.results.rescore import rescore, turn_means
from scbench.results.scores import score_sweep
from scbench.results.summary import read_summary
from sweep_builder import answers, cell, write_sweep

GOLDEN = json.loads((Path(__file__).parents[1] / "data" / "reference_scoring.json").read_text(encoding="utf-8"))
MODES = {"multi_turn": "multi_turn", "multi_request": "scdq"}


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    records = [
        answers("aa", "s0", [True, False]),
        answers("aa", "s1", [True]),
        answers("aa", "of another sweep", [True]),
    ]
    failed = [answers("bb", "s0", [True, True], outcome=Outcome.OOM)]
    return write_sweep(tmp_path, {"aa": cell(), "bb": cell("streaming_llm")}, records + failed)


def test_a_sweep_is_its_cells_in_its_own_sessions(manifest: Path) -> None:
    for path in (manifest, manifest.parent):
        first, second = rescore(path)
        assert first.title == "aa: retr_kv, multi_turn, dense"
        assert [(turn.session, turn.turn, turn.strict, turn.ref) for turn in first.turns] == [
            ("s0", 0, 1.0, 1.0),
            ("s0", 1, 0.0, 0.0),
            ("s1", 0, 1.0, 1.0),
        ]
        assert all(math.isnan(turn.strict) and math.isnan(turn.ref) for turn in second.turns)


def test_a_cell_and_its_file_have_all_of_their_sessions(manifest: Path) -> None:
    folder = manifest.parents[1] / "cells" / "aa"
    for path in (folder, folder / "0.jsonl"):
        (scored,) = rescore(path)
        assert scored.title == "aa: retr_kv, multi_turn, dense"
        assert {turn.session for turn in scored.turns} == {"s0", "s1", "of another sweep"}


def test_means_are_per_turn_and_over_sessions(manifest: Path) -> None:
    first, second = rescore(manifest)
    assert [(mean.name, mean.count, mean.strict) for mean in turn_means(first.turns)] == [
        ("turn 0", 2, 1.0),
        ("turn 1", 1, 0.0),
        ("mean", 3, 0.75),
    ]
    assert math.isnan(turn_means(second.turns)[-1].ref)


def test_means_are_those_of_the_tables(tmp_path: Path) -> None:
    """Turns that failed, were cut or left alone are in none."""
    records = [
        [*answers("aa", "s0", [True, False])[:1], *answers("aa", "s0", [True, True], outcome=Outcome.OOM)[1:]],
        [
            *answers("aa", "s1", [True, False, True])[:2],
            *answers("aa", "s1", [True] * 3, outcome=Outcome.TRUNCATED)[2:],
        ],
        answers("aa", "s2", [False, False], outcome=Outcome.NOOP),
    ]
    path = write_sweep(tmp_path, {"aa": cell()}, records, sessions=["s0", "s1", "s2"])
    score_sweep(path)
    (scored,) = rescore(path)
    *by_turn, whole = turn_means(scored.turns)
    assert [(mean.name, mean.count) for mean in (*by_turn, whole)] == [
        ("turn 0", 2),
        ("turn 1", 1),
        ("turn 2", 0),
        ("mean", 3),
    ]
    table = read_summary(path)
    assert (100 * whole.strict, 100 * whole.ref) == (table.mean("aa", "strict"), table.mean("aa", "ref")) == (75, 75)
    assert [100 * mean.strict for mean in by_turn[:2]] == [table.turn("aa", turn) for turn in (0, 1)]
    assert math.isnan(by_turn[2].strict)


def test_the_command_prints_what_failed_as_missing(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["score", str(manifest.parent)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "aa: retr_kv, multi_turn, dense",
        "            turns   strict      ref",
        "turn 0          2  100.000  100.000",
        "turn 1          1    0.000    0.000",
        "mean            3   75.000   75.000",
        "bb: retr_kv, multi_turn, streaming_llm",
        "            turns   strict      ref",
        "turn 0          0      n/a      n/a",
        "turn 1          0      n/a      n/a",
        "mean            0      n/a      n/a",
    ]
    assert not (manifest.parent / "scores.csv").exists()


def test_with_a_manifest_the_tables_are_fed(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["score", "--manifest", str(manifest)]) == 0
    assert capsys.readouterr().out == ""
    assert (manifest.parent / "scores.csv").exists()


@pytest.mark.parametrize("arguments", [[], ["x", "--manifest", "y"]])
def test_a_path_or_a_manifest(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["score", *arguments]) == 2
    assert "either PATH or --manifest FILE" in capsys.readouterr().err


@pytest.mark.parametrize("case", GOLDEN["aggregation"], ids=lambda case: case["id"])
def test_a_prediction_file_has_the_originals_summary_line(case: dict, tmp_path: Path) -> None:  # type: ignore[type-arg]
    path = tmp_path / f"prediction_{case['task']}_{MODES[case['mode']]}.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in case["records"]), encoding="utf-8")
    (scored,) = rescore(path, case["max_seq_length"])
    assert scored.summary == case["summary_line"]
    if case["mode"] == "multi_turn" and len(case["numbers"]) == len(case["turn_order"]):
        means = turn_means(scored.turns)[:-1]
        assert [100 * mean.ref for mean in means] == pytest.approx(case["numbers"], abs=5e-4)


RECORD = {"id": 0, "turn_idx": 0, "prediction": "x", "ground_truth": "x"}


def test_a_file_that_makes_the_original_fail_says_so(tmp_path: Path) -> None:
    path = tmp_path / "prediction_scbench_kv_scdq.jsonl"
    path.write_text(json.dumps(RECORD | {"ground_truth": 1}))
    (scored,) = rescore(path)
    assert scored.summary == "the original raises TypeError here"
    assert [(turn.strict, turn.ref) for turn in scored.turns] == [(0.0, 0.0)]


KV, CODE, MIX = (
    f"prediction_{task}_multi_turn.jsonl" for task in ("scbench_kv", "scbench_repoqa", "scbench_repoqa_and_kv")
)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (KV, "", "has no records; run the task first"),
        (KV, json.dumps(RECORD) + "\n{", "line 2 is no JSON"),
        (KV, "[]", "line 1 is no record but list"),
        (KV, json.dumps({"turn_idx": 0, "ground_truth": "x"}), "line 1, field prediction or pred is missing"),
        (KV, json.dumps(RECORD | {"prediction": 1}), "line 1, field prediction is no text"),
        (CODE, json.dumps(RECORD), "line 1, field lang is missing"),
        (MIX, json.dumps(RECORD | {"task": "x"}), "field task: 'x' is no part of scbench_repoqa_and_kv"),
        ("prediction_foo_scdq.jsonl", json.dumps(RECORD), "is not called prediction_<task>"),
        ("other.txt", "x", "holds no records"),
        ("a/b/other.jsonl", "x\n", "no manifest in"),
    ],
)
def test_bad_files_are_named(name: str, content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    with pytest.raises(ScbenchError, match=re.escape(message)):
        list(rescore(path))


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ScbenchError, match=r"there is no .*nothing; give"):
        list(rescore(tmp_path / "nothing"))
