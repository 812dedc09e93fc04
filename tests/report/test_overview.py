import dataclasses
import json

import pytest

from scbench.grid.manifest import Manifest
from scbench.record import Outcome
from scbench.report import overview
from scbench.report.gathered import gather
from scbench.report.shelf import Shelf
from scbench.results.scores import score_sweep
from scbench.results.summary import read_summary
from sweep_builder import MIB, answers, cell, write_sweep


def made(root, cells, records, **more):
    path = write_sweep(root, cells, records, **more)
    score_sweep(path)
    summary = read_summary(path)
    return summary, gather(summary, Manifest.read(path), Shelf(summary.sweep.folder))


CELLS = {
    "d1": cell(),
    "s1": cell("streaming_llm", budget=0.25),
    "k1": cell("snapkv", budget=0.25),
    "o1": cell("bounds.oracle", budget=0.25),
}
RECORDS = [
    answers("d1", "s0", [True, True], stored=8 * MIB, provenance={"device": "cpu x2", "commit": "a"}),
    answers("s1", "s0", [True, False], stored=2 * MIB, provenance={"device": "cpu x2", "commit": "b"}),
    answers("k1", "s0", [False, False], stored=4 * MIB),
    answers("o1", "s0", [True, True], stored=1 * MIB),
]


def test_the_front_has_dense_and_what_nothing_beats_and_no_bound(tmp_path):
    summary, _ = made(tmp_path, CELLS, RECORDS, sessions=["s0"])
    assert overview.front_table(summary).rows == (
        ("tiny", "multi_turn", "Retr.KV (gen)", "dense", 100.0, 0.0, 8.0, 100.0),
        ("tiny", "multi_turn", "Retr.KV (gen)", "streaming_llm (25%)", 50.0, -50.0, 2.0, 25.0),
    )


def test_facts_say_what_was_run(tmp_path):
    summary, gathered = made(tmp_path, CELLS, RECORDS, sessions=["s0"])
    manifest = dataclasses.replace(Manifest.read(summary.sweep.folder / "manifest.json"), overrides=("task=retr_kv",))
    facts = dict(overview.facts(summary, manifest, gathered))
    assert facts["methods"] == "dense, streaming_llm, snapkv, bounds.oracle"
    assert facts["budgets"] == "25%" and facts["device"] == "cpu x2"
    assert facts["size"] == "cells: 4, sessions: 1, turns with a record: 8"
    assert facts["command"] == "scbench sweep task=retr_kv"


def test_flags_warn_of_failures_of_few_sessions_and_of_mixed_code(tmp_path):
    bad = [
        answers("n1", "s0", [True], outcome=Outcome.NOOP),
        answers("n1", "s1", [True, True], outcome=Outcome.TRUNCATED, answer_cut=True),
        answers("n2", "s0", [True, True], outcome=Outcome.OOM),
    ]
    cells = CELLS | {"n1": cell("quest"), "n2": cell("kivi")}
    summary, gathered = made(tmp_path, cells, [*RECORDS, *bad])
    text = "\n".join(overview.flags(summary, gathered))
    assert "5 cells have no or too few records" in text
    assert "2 turns failed" in text
    assert "1 turns ended as noop" in text and "2 turns ended as truncated" in text
    assert "On 2 turns the gold answer stood in what was cut" in text
    assert "Fewer than 20 contexts, so hardly a claim: Retr.KV (gen)." in text
    assert "Not all turns were made with the same commit: a, b." in text


@pytest.mark.parametrize(
    ("tracked", "page"),
    [
        (None, None),
        ({"tracking_uri": "x"}, None),
        ({"compare": "javascript:alert(1)"}, None),
        ({"compare": "http://127.0.0.1:5000/#/x", "start": "make ui"}, ("http://127.0.0.1:5000/#/x", "make ui")),
    ],
)
def test_mlflow_is_linked_where_it_has_the_runs(tmp_path, tracked, page):
    if tracked is not None:
        (tmp_path / "mlflow.json").write_text(json.dumps(tracked))
    assert overview.comparison_page(tmp_path) == page


def test_there_are_no_flags_without_a_reason(tmp_path):
    names = [f"s{number}" for number in range(20)]
    records = [answers("d1", name, [True]) for name in names]
    assert overview.flags(*made(tmp_path, {"d1": cell()}, records, sessions=names)) == []
