"""Agreement with published values: which cells stand for them, what is compared, and what is said of it."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from math import isnan, nan
from pathlib import Path

import pytest
from rich.console import Console

from scbench.config.cell import Cell, Choice
from scbench.config.compose import compose
from scbench.config.files import ROOT
from scbench.grid.cells import canonical
from scbench.grid.devices import GPUS
from scbench.grid.forecast import demand
from scbench.models.files import local_config
from scbench.record import Outcome, Record
from scbench.report.terminal import render_terminal
from scbench.results.agreement import AGREES, FEW, HIGHER, LOWER, PART, TASKS, Compared, agreement_table, compared
from scbench.results.bootstrap import Interval
from scbench.results.published import Published, published
from scbench.results.scores import score_sweep
from scbench.results.summary import Summary, read_summary
from scbench.results.tables import tables_sweep
from sweep_builder import answers, cell, write_sweep

STRINGS = {
    "retr_kv": "scbench.tasks.retr_kv.RetrKV",
    "retr_prefix_suffix": "scbench.tasks.retr_prefix_suffix.RetrPrefixSuffix",
    "retr_multihop": "scbench.tasks.retr_multihop.RetrMultiHop",
}
LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
SESSIONS = [f"s{number:02}" for number in range(20)]


def original(task: str, method: str = "dense", options: Mapping[str, object] | None = None, **changes: object) -> Cell:
    """A cell of the original's set-up, with changes."""
    made = cell(method, options=options)
    return replace(
        made,
        model=Choice("llama", made.model.target, {"path": LLAMA}),
        task=Choice(task, STRINGS[task], {"data": "hub@x", "length": 512}),
        prompt_style="ref",
        **changes,
    )


def said(name: str, task: str, right: Sequence[Sequence[bool]], outcome: Outcome = Outcome.OK) -> list[list[Record]]:
    """Records of a cell: which turns of which sessions were answered rightly, with more behind the answer."""
    gold = ("the-value",) if task == "retr_multihop" else "the-value"
    rows = zip(SESSIONS, right, strict=False)
    return [
        [
            replace(record, prediction=f"{record.prediction}more", gold=gold)
            for record in answers(name, session, turns, outcome=outcome)
        ]
        for session, turns in rows
    ]


def summarised(folder: Path, cells: Mapping[str, Cell], records: Sequence[Sequence[Record]]) -> Summary:
    manifest = write_sweep(folder, cells, records, SESSIONS)
    score_sweep(manifest)
    return read_summary(manifest)


def share(rate: int) -> list[list[bool]]:
    """20 sessions of 5 turns, of which so many of 20 are right: each turn in as many sessions."""
    return [[(session + 4 * turn) % 20 < rate for turn in range(5)] for session in range(20)]


METHODS = {
    "dense": ({}, {"retr_kv": 12, "retr_prefix_suffix": 10, "retr_multihop": 13}),
    "streaming_llm": ({"window": 4096, "sinks": 128}, dict.fromkeys(STRINGS, 0)),
    "snapkv": ({"tokens": 4096}, dict.fromkeys(STRINGS, 19)),
    "kivi": ({"bits": 2}, {"retr_kv": 3, "retr_multihop": 3}),
}


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    cells, records = {}, []
    for method, (options, rates) in METHODS.items():
        for task, rate in rates.items():
            name = f"{method}-{task}"
            cells[name] = original(task, method, options)
            records += said(name, task, share(rate))
    return summarised(tmp_path_factory.mktemp("calibrated"), cells, records)


def by_row(summary: Summary) -> dict[tuple[str, str], Compared]:
    """Those that were published with SCBench, in multi-turn mode."""
    return {
        (one.published.method, one.group): one
        for one in compared(summary)
        if one.published.source.startswith("SCBench") and one.published.mode == "multi_turn"
    }


def test_a_group_is_compared_by_the_originals_score(summary: Summary) -> None:
    found = by_row(summary)
    dense = found["dense", "String retrieval"]
    assert dense.value == 57.1
    assert dense.ours.estimate == pytest.approx(100 * (12 + 10 + 13) / 60)
    assert dense.ours.low < 57.1 < dense.ours.high and dense.ours.high - dense.ours.low < 30
    assert dense.sessions == 60 and dense.verdict == AGREES
    assert summary.mean("dense-retr_kv", "strict") < summary.mean("dense-retr_kv", "ref") == pytest.approx(60)
    streaming = found["streaming_llm", "String retrieval"]
    assert (streaming.ours.estimate, streaming.value, streaming.verdict) == (0, 0.4, AGREES)
    snapkv = found["snapkv", "String retrieval"]
    assert (snapkv.ours.estimate, snapkv.value, snapkv.verdict) == (pytest.approx(95), 6.1, HIGHER)


def test_a_mean_that_lacks_a_task_is_not_compared(summary: Summary) -> None:
    found = by_row(summary)
    for key in (("kivi", "String retrieval"), ("dense", "mean"), ("dense", "Global information")):
        assert found[key].verdict == PART and isnan(found[key].ours.estimate)
    assert ("pyramidkv", "mean") not in found  # the sweep has no cell of it


def test_every_published_number_of_a_row_that_was_run_is_there(summary: Summary) -> None:
    """Against the file itself."""
    rows = json.loads((ROOT / "src/scbench/results/published.json").read_text())
    kept = [row for row in rows if row["mode"] == "multi_turn" and row["method"] in METHODS]
    of_scbench = sum(len(row["scores"]) for row in kept if row["source"].startswith("SCBench"))
    rocket = [row for row in kept if row["source"].startswith("RocketKV")]
    same = sum(len(row["scores"]) for row in rocket if row["method"] == "dense" or row["budget"] == "4096 tokens")
    assert len(compared(summary)) == of_scbench + same == 10 + 10


@pytest.mark.parametrize(
    "changes",
    [
        {"prompt_style": "fixed"},
        {"history": "generated"},
        {"query": "free"},
        {"compress": "each"},
        {"budget": 0.5},
        {"model": Choice("llama", "scbench.models.model.ModelConfig", {"path": "meta-llama/Llama-3.1-70B-Instruct"})},
        {"task": Choice("retr_kv", STRINGS["retr_kv"], {"data": None, "length": 512})},
        {"task": Choice("retr_kv", STRINGS["retr_kv"], {"data": "hub@x", "context": "none"})},
        {"methods": (Choice("snapkv", "scbench.methods.snapkv", {"tokens": 512}),)},
    ],
)
def test_another_set_up_stands_for_nothing(changes: dict[str, object], tmp_path: Path) -> None:
    other = replace(original("retr_kv"), **changes)
    summary = summarised(tmp_path, {"aa": other}, said("aa", "retr_kv", share(10)))
    assert agreement_table(summary) is None


def test_turns_that_were_cut_count_as_in_the_original(tmp_path: Path) -> None:
    cells = {task: original(task) for task in STRINGS}
    right = [[True] * 5] * 10
    records = [
        session
        for task in STRINGS
        for session in (
            *said(task, task, right),
            *(
                [replace(record, session=f"s{10 + number:02}") for record in session]
                for number, session in enumerate(said(task, task, [[False] * 5] * 10, Outcome.TRUNCATED))
            ),
        )
    ]
    dense = by_row(summarised(tmp_path, cells, records))["dense", "String retrieval"]
    assert dense.ours.estimate == pytest.approx(50)


def test_verdicts() -> None:
    row = Published("S", "M", "dense", "", "multi_turn", {"mean": 50.0})

    def verdict(*ours: float) -> str:
        return Compared(row, "mean", Interval(*ours), 9).verdict

    assert [verdict(55, 50, 60), verdict(45, 40, 50)] == [AGREES, AGREES]
    assert [verdict(60, 50.1, 70), verdict(40, 30, 49.9)] == [HIGHER, LOWER]
    assert [verdict(50, nan, nan), verdict(nan, nan, nan)] == [FEW, PART]


def test_it_is_printed_and_a_file(summary: Summary) -> None:
    manifest = summary.sweep.folder / "manifest.json"
    tables_sweep(manifest)
    file = (summary.sweep.folder / "tables/agreement.md").read_text()
    assert "20 published values: " in file and "third-party transcription" in file
    console = Console(record=True, width=200, file=io.StringIO())
    render_terminal(manifest, console)
    printed = console.export_text()
    assert "Agreement with published values" in printed and "String retrieval" in printed
    assert "third-party transcription" not in printed
    line = next(line for line in printed.splitlines() if "String" in line and "57.1" in line)
    assert "58.3" in line and "1.2" in line and AGREES in line


def test_the_experiment_has_every_group_that_it_can_afford_and_takes_two_hours() -> None:
    cells = [canonical(one) for one in compose(["experiment=calibrate"], ROOT / "conf").cells]
    methods = {one.method_name for one in cells}
    assert methods == {"dense", "streaming_llm", "snapkv", "kivi", "quest"}
    rows = [row for row in published() if row.options is not None and row.method in methods]
    for row, group in product(rows, ("String retrieval", "Global information")):
        named = {
            one.task.name
            for one in cells
            if one.task.type.group == group
            and (one.method_name, one.mode.options["kind"]) == (row.method, row.mode)
            and all(one.methods[0].options.get(key) == value for key, value in row.options.items())
        }
        of_original = row.source.startswith("SCBench") or row.budget in ("", "4096 tokens")
        assert len(named) == (TASKS[group] if of_original else 0)
    families: dict[tuple[str, str], list[Cell]] = {}
    for one in cells:
        families.setdefault((one.task.name, one.mode.name), []).append(one)
    works = [demand(its, local_config(its[0].model.build())) for its in families.values()]
    hours = sum(work.estimate(GPUS["h100"]).seconds for work in works if work is not None) / 3600
    assert len(works) == 12 and None not in works
    assert 1.8 < hours < 2.2
