"""Tables in terminals of usual widths: every column can be read, whatever else is wide."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scbench import cli
from scbench.record import StageTime
from scbench.results.scores import score_sweep
from sweep_builder import answers, cell, write_sweep

STAGES = {
    "prefill": StageTime(2.25, "shared"),
    "compress": StageTime(0.125, "own"),
    "extend": StageTime(0.5, "own"),
    "question": StageTime(0.0625, "batch", 5),
    "decode": StageTime(12345.75, "batch", 5),
    "fidelity": StageTime(0.375, "own"),
}
CELLS = {"d0": cell(), "m0": cell("streaming_llm", budget=0.25, options={"sinks": 16})}


def scored(root: Path, better: bool = True) -> Path:
    records = [
        answers(name, session, [better, name == "d0"], times=STAGES) for name in CELLS for session in ("s0", "s1")
    ]
    manifest = write_sweep(root, CELLS, records)
    score_sweep(manifest)
    return manifest.parent


@pytest.mark.parametrize("width", [80, 100, 120, 160, 200])
def test_stage_costs_can_be_read(tmp_path, capsys, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    assert cli.main(["show", str(scored(tmp_path)), "--by", "stage"]) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= width
    for number in ("2.250", "0.125", "0.500", "0.062", "12345.750", "0.375"):
        assert len(re.findall(rf"(?<![\d.]){re.escape(number)}(?![\d.])", said)) >= 2, number
    for word in ("multi_turn", "dense", "compress", "decode", "fidelity", "prefill", "question", "pays", "tokens/s"):
        assert word in said, word
    assert "…" not in said


@pytest.mark.parametrize("width", [80, 100, 200])
def test_a_difference_can_be_read(tmp_path, capsys, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    assert cli.main(["diff", str(scored(tmp_path / "a")), str(scored(tmp_path / "b", better=False))]) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.split("cells in both")[0].splitlines()[:-1])) <= width
    for word in ("multi_turn", "dense", "difference", "contexts", "verdict", "because", "unknown", "-50.0", "100.0"):
        assert word in said, word
