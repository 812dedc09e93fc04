import csv
import dataclasses
import io
import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scbench.record import Fidelity, Outcome, StageTime
from scbench.results.comparison_tables import budgets_table, models_table
from scbench.results.costs import Cost, pays_from
from scbench.results.matched import levels, matched_table
from scbench.results.scores import score_cells, score_sweep
from scbench.results.summary import read_summary
from scbench.results.table import Column, Table, to_csv, to_markdown
from scbench.results.tables import (
    all_tables,
    cells_table,
    contexts_table,
    costs_table,
    fidelity_tables,
    quarters_tables,
    scores_table,
    tables_sweep,
    turns_table,
)
from sweep_builder import MIB, answers, cell, write_sweep

CELLS = {
    "a1": cell(),
    "a2": cell(task="en_qa"),
    "b1": cell("streaming_llm", budget=0.25),
    "b2": cell("streaming_llm", task="en_qa", budget=0.25),
}
RECORDS = [
    answers("a1", "s0", [True, True], stored=8 * MIB),
    answers("a1", "s1", [True, False], stored=8 * MIB),
    answers("a2", "s0", [True, True], stored=8 * MIB),
    answers("a2", "s1", [True, True], stored=8 * MIB),
    answers("b1", "s0", [False, False], stored=2 * MIB),
    answers("b1", "s1", [False, True], stored=4 * MIB),
    answers("b2", "s0", [True], outcome=Outcome.NOOP),
    answers("b2", "s1", [True], outcome=Outcome.OOM),
]


def summary(root, records=RECORDS, cells=CELLS, **more):
    manifest = write_sweep(root, cells, records, **more)
    score_sweep(manifest)
    return read_summary(manifest)


def rows(table):
    """A table's rows as dictionaries of what people read."""
    return [dict(zip((c.name for c in table.columns), texts, strict=True)) for texts in table.texts]


def test_method_by_task_with_strict_and_ref_side_by_side(tmp_path):
    table = scores_table(summary(tmp_path), "multi_turn")
    dense, streaming = rows(table)
    assert list(dense) == [
        "method",
        *(f"{name} {kind}" for name in ("Retr.KV (gen)", "En.QA (gen)", "mean (gen)") for kind in ("strict", "ref")),
    ]
    assert (dense["method"], dense["Retr.KV (gen) strict"], dense["mean (gen) strict"]) == ("dense", "75.0", "87.5")
    assert (streaming["method"], streaming["Retr.KV (gen) strict"]) == ("streaming_llm (25%)", "25.0")


def test_noop_and_failed_turns_are_counted_and_never_a_zero(tmp_path):
    made = summary(tmp_path)
    streaming = rows(scores_table(made, "multi_turn"))[1]
    assert streaming["En.QA (gen) strict"] == streaming["mean (gen) strict"] == "n/a"
    row = rows(cells_table(made))[3]
    assert (row["ok"], row["noop"], row["oom"], row["strict"], row["KV MiB"]) == ("0", "1", "1", "n/a", "n/a")


def test_generated_and_published_data_are_never_averaged(tmp_path):
    cells = {
        "g1": cell(),
        "g2": cell(task="en_qa"),
        "p1": cell(task="math_find", task_options={"data": "mf.jsonl"}),
    }
    records = [answers(name, f"s{i}", [name != "p1"]) for name in cells for i in (0, 1)]
    (row,) = rows(scores_table(summary(tmp_path, records, cells), "multi_turn"))
    assert row["mean (gen) strict"] == "100.0"
    assert row["Math.Find strict"] == "0.0"
    assert "mean strict" not in row  # one published task has no mean of its own


NAMES = (
    *(f"{name}_multi_turn" for name in ("scores", "groups", "stored", "touched", "budgets", "turns")),
    *("differences_multi_turn", "turn_differences_multi_turn", "first_turn", "published"),
    *("cells", "contexts", "costs", "failures"),
)
GOLD = "\n".join(f"{place:08} | {place}" for place in range(8))
LONG_CELLS = {"l1": cell(task="gen_records"), "l2": cell("streaming_llm", task="gen_records", budget=0.25)}
LONG_RECORDS = [
    answers("l1", "s0", [True, True], gold=GOLD, prediction=GOLD),
    answers("l1", "s1", [True], gold=GOLD, prediction=GOLD[:-1] + "x"),
    answers("l2", "s0", [True], gold=GOLD, prediction="\n".join(GOLD.split("\n")[:3])),
    answers("l2", "s1", [True], gold=GOLD, prediction=GOLD, outcome=Outcome.NOOP),
]


def test_a_task_that_is_not_scbenchs_has_a_column_and_enters_no_mean(tmp_path):
    table = scores_table(summary(tmp_path, RECORDS + LONG_RECORDS, CELLS | LONG_CELLS), "multi_turn")
    dense, streaming = rows(table)
    assert (dense["Gen.Records (gen) strict"], dense["mean (gen) strict"]) == ("93.8", "87.5")
    assert streaming["Gen.Records (gen) strict"] == "37.5"
    (alone,) = rows(scores_table(summary(tmp_path / "alone", LONG_RECORDS[:2], {"l1": LONG_CELLS["l1"]}), "multi_turn"))
    assert not any(name.startswith("mean") for name in alone)


def test_long_answers_have_a_table_of_their_quarters(tmp_path):
    made = summary(tmp_path, RECORDS + LONG_RECORDS, CELLS | LONG_CELLS)
    (table,) = quarters_tables(made)
    assert table in all_tables(made)
    assert [list(row.values()) for row in rows(table)] == [
        ["dense", "Gen.Records (gen)", "93.8", "100.0", "100.0", "100.0", "75.0"],
        ["streaming_llm (25%)", "Gen.Records (gen)", "37.5", "100.0", "50.0", "0.0", "0.0"],
    ]
    assert quarters_tables(summary(tmp_path / "short")) == []


def test_floors_have_columns_and_means_of_their_own(tmp_path):
    cells = {
        "f1": cell(),
        "f2": cell(task="en_qa"),
        "n1": cell(task_options={"context": "none"}),
        "n2": cell(task="en_qa", task_options={"context": "none"}),
    }
    records = [answers(name, f"s{i}", [name[0] == "f"]) for name in cells for i in (0, 1)]
    (row,) = rows(scores_table(summary(tmp_path, records, cells), "multi_turn"))
    assert row["mean (gen) strict"] == "100.0"
    assert row["Retr.KV (gen, no context) strict"] == row["mean (gen, no context) strict"] == "0.0"


def test_turn_columns(tmp_path):
    table = rows(turns_table(summary(tmp_path), "multi_turn"))
    assert [(r["method"], r["task"], r["turn 1"], r["turn 2"]) for r in table] == [
        ("dense", "Retr.KV (gen)", "100.0", "50.0"),
        ("dense", "En.QA (gen)", "100.0", "100.0"),
        ("streaming_llm (25%)", "Retr.KV (gen)", "0.0", "50.0"),
        ("streaming_llm (25%)", "En.QA (gen)", "n/a", "n/a"),
    ]


def test_bytes_and_their_share_of_dense(tmp_path):
    first, _, third, _ = rows(cells_table(summary(tmp_path)))
    assert (first["KV MiB"], first["KV %"]) == ("8.00", "100.0")
    assert (third["KV MiB"], third["KV %"], third["sessions"]) == ("3.00", "37.5", "2")


def test_costs_say_their_scope(tmp_path):
    first = rows(costs_table(summary(tmp_path)))[0]
    assert (first["prefill s (shared)"], first["decode s (batch)"], first["decode width (batch)"]) == (
        "2.000",
        "0.500",
        "2.000",
    )


def test_contexts_have_their_lengths_by_task_and_model(tmp_path):
    cells = {"a": cell(), "b": cell("snapkv", budget=0.25), "c": cell(model="other"), "q": cell(task="en_qa")}
    records = [
        answers(name, session, [True, True], items=items, characters=10 * tokens, context_tokens=tokens)
        for name in cells
        for session, items, tokens in (("s0", 10, 100), ("s1", 12, 120), ("s2", 20, 200))
        if name != "q"
    ] + [answers("q", "s0", [True], items=None, characters=7, context_tokens=3), answers("q", "s1", [True])]
    table = contexts_table(summary(tmp_path, records, cells, sessions=["s0", "s1", "s2"]))
    assert table.rows[:2] == (
        ("Retr.KV (gen)", "tiny", 3, 12.0, 1200.0, 120.0),
        ("Retr.KV (gen)", "other", 3, 12.0, 1200.0, 120.0),
    )
    assert table.texts[2] == ["En.QA (gen)", "tiny", "2", "n/a", "7", "3"]


def test_a_failed_cell_is_a_row_with_its_note(tmp_path):
    made = summary(tmp_path, RECORDS[:6], failed={"b2": "data file x.jsonl, row 3: no context"})
    last = rows(cells_table(made))[-1]
    assert (last["strict"], last["note"], last["sessions"]) == ("n/a", "failed", "0")
    assert rows(scores_table(made, "multi_turn"))[1]["mean (gen) strict"] == "n/a"


def test_columns_that_tell_nothing_apart_are_left_out(tmp_path):
    one = summary(tmp_path / "one")
    assert "model" not in rows(cells_table(one))[0]
    two = summary(tmp_path / "two", RECORDS[:2], {"a1": cell(), "a3": cell(model="other")})
    assert [row["model"] for row in rows(cells_table(two))] == ["tiny", "other"]


def test_timings_change_no_file_but_the_costs(tmp_path):
    slow = [
        [dataclasses.replace(r, times={"prefill": StageTime(9.0, "shared")}) for r in session]
        for session in reversed(RECORDS)
    ]
    files = []
    for name, records in (("calm", RECORDS), ("slow", slow)):
        paths = tables_sweep(summary(tmp_path / name, records).sweep.folder / "manifest.json")
        files.append({path.name: path.read_bytes() for path in paths})
    calm, other = files
    assert sorted(calm) == sorted(
        f"{name}.{kind}" for name in NAMES for kind in ("csv", "md", "tex", "html", "parquet")
    )
    assert {name.partition(".")[0] for name in calm if calm[name] != other[name]} == {"costs"}


def test_files_of_tables_that_are_no_longer_made_go(tmp_path):
    path = summary(tmp_path, RECORDS[:2], {"a1": CELLS["a1"]}, sessions=["s0", "s1"]).sweep.folder / "manifest.json"
    kept = tables_sweep(path)
    (path.parent / "tables" / "quarters_multi_request.csv").write_text("method\n")
    assert tables_sweep(path) == kept
    assert sorted((path.parent / "tables").iterdir()) == sorted(kept)


@pytest.mark.parametrize("value", ["a|b", "<b>", "two\nlines", "a\\|b"])
def test_markdown_stays_a_table(value):
    table = Table("t", "T", "note", (Column("x"), Column("y", 1)), ((value, 0.25), ("plain", math.nan)))
    lines = to_markdown(table).splitlines()
    assert lines[4:6] == ["| x | y |", "| --- | ---: |"]
    assert lines[7] == "| plain | n/a |"
    assert lines[6].replace("\\\\", "").replace("\\|", "").count("|") == 3
    assert "<" not in lines[6]


def test_csv_has_more_digits_and_the_same_rows():
    table = Table("t", "T", "note", (Column("x"), Column("y", 1)), (("a,\nb", 1 / 3), ("c", math.nan)))
    assert list(csv.reader(io.StringIO(to_csv(table)))) == [["x", "y"], ["a,\nb", "0.333333"], ["c", "n/a"]]


def test_answers_that_were_cut_away_are_counted(tmp_path):
    cut = {"outcome": Outcome.TRUNCATED, "answer_cut": True}
    records = [answers("a1", "s0", [True, False], **cut), answers("a1", "s1", [True, True])]
    made = summary(tmp_path, records, {"a1": cell()})
    (row,) = rows(cells_table(made))
    assert (row["truncated"], row["ok"], row["answer cut"], row["strict"]) == ("2", "2", "2", "100.0")
    assert "answer cut: turns whose gold answer" in cells_table(made).note


def test_the_same_task_generated_and_published_has_two_columns_and_no_common_mean(tmp_path):
    cells = {
        "g1": cell(),
        "g2": cell(task="en_qa"),
        "p1": cell(task_options={"data": "kv.jsonl"}),
        "p2": cell(task="en_qa", task_options={"data": "qa.jsonl"}),
    }
    records = [answers(name, f"s{i}", [name.startswith("g")]) for name in cells for i in (0, 1)]
    (row,) = rows(scores_table(summary(tmp_path, records, cells), "multi_turn"))
    strict = {name: value for name, value in row.items() if name.endswith("strict")}
    assert {value for name, value in strict.items() if "(gen)" in name} == {"100.0"}
    assert {value for name, value in strict.items() if "(gen)" not in name} == {"0.0"}
    assert {"mean (gen) strict", "mean strict"} < set(strict)


def matched_cells():
    tiny = {"d0": cell(), "m1": cell("snapkv", budget=0.25), "m2": cell("snapkv", budget=0.5), "k1": cell("kivi")}
    stored = {"d0": 8 * MIB, "m1": 2 * MIB, "m2": 4 * MIB, "k1": int(2.1 * MIB)}
    return tiny, [answers(name, "s0", [name != "m1"], stored=size) for name, size in stored.items()]


def test_methods_are_compared_at_equal_bytes_and_say_what_matched(tmp_path):
    cells, records = matched_cells()
    table = matched_table(summary(tmp_path, records, cells, sessions=["s0"]), "multi_turn", "stored")
    found = [(row["stored KV"], row["method"], row["budgets"], row["Retr.KV (gen)"]) for row in rows(table)]
    assert found == [
        ("25%", "snapkv", "25%", "0.0"),
        ("25%", "kivi", "none", "100.0"),
        ("50%", "snapkv", "50%", "100.0"),
        ("100%", "dense", "none", "100.0"),
    ]


def test_bytes_must_match_at_every_turn(tmp_path):
    cells, records = matched_cells()
    grown = dataclasses.replace(records[1][0].kv_bytes, stored=3 * MIB)
    later = answers("m1", "s0", [True, True], stored=2 * MIB)
    records[1] = [later[0], dataclasses.replace(later[1], kv_bytes=grown)]
    table = matched_table(summary(tmp_path, records, cells, sessions=["s0"]), "multi_turn", "stored")
    assert [row["method"] for row in rows(table)] == ["kivi", "snapkv", "dense"]


def test_levels_are_those_that_budgets_ask_for_and_others_between():
    asked = levels(["", "25%stored", "53%touched", "6%", "1024 tokens", "64MiB"], "touched")
    assert asked == [1 / 64, 1 / 32, 0.06, 1 / 8, 1 / 4, 0.53, 1.0]
    assert 0.53 not in levels(["53%touched"], "stored")


def test_fidelity_is_per_token_and_over_the_turns_that_have_it(tmp_path):
    cells = {"d0": cell(), "m0": cell("snapkv", budget=0.25)}
    whole = answers("d0", "s0", [True, True], gold_kept=1.0, output_ids=(1, 2, 3))
    kept = answers("m0", "s0", [True, False], gold_kept=0.5, output_ids=(1, 9), fidelity=Fidelity(4, -3.0, 0.25))
    kept[1] = dataclasses.replace(kept[1], gold_kept=None, fidelity=Fidelity(2, -3.0, None), output_ids=(1, 2, 3))
    (table,) = fidelity_tables(summary(tmp_path, [whole, kept], cells, sessions=["s0"]))
    dense, snap = rows(table)
    assert (dense["gold kept %"], dense["same as dense %"], dense["KL to dense"]) == ("100.0", "100.0", "n/a")
    assert (snap["gold kept %"], snap["gold nats/token"], snap["KL to dense"]) == ("50.0", "-1.125", "0.2500")
    assert (snap["tokens in common"], snap["same as dense %"]) == ("2.0", "50.0")


def test_there_is_no_table_of_fidelity_where_nothing_is_known(tmp_path):
    cells = {"m0": cell("snapkv", budget=0.25)}
    assert fidelity_tables(summary(tmp_path, [answers("m0", "s0", [True])], cells, sessions=["s0"])) == []


def timed(name, **seconds):
    scopes = {
        "prefill": "shared",
        "compress": "own",
        "extend": "own",
        "question": "batch",
        "decode": "batch",
        "served": "batch",
    }
    width = seconds.pop("width", 1)
    times = {
        stage: StageTime(s, scopes[stage], width if scopes[stage] == "batch" else 1) for stage, s in seconds.items()
    }
    return answers(name, "s0", [True, True], times=times, output_tokens=10)


def test_costs_per_question_until_the_first_token_and_when_a_method_pays(tmp_path):
    cells = {"d0": cell(), "m0": cell("snapkv", budget=0.25), "w0": cell("quest", budget=0.25)}
    records = [
        timed("d0", prefill=2.0, compress=0.0, question=0.1, decode=1.0),
        timed("m0", prefill=2.0, compress=1.2, question=0.1, decode=0.5),
        timed("w0", prefill=2.0, compress=0.0, question=0.1, decode=4.0, width=2),
    ]
    dense, snap, quest = rows(costs_table(summary(tmp_path, records, cells, sessions=["s0"])))
    assert (dense["once s"], dense["each s"], dense["per question s"]) == ("2.000", "1.100", "2.100")
    assert (dense["TTFT s"], dense["tokens/s"], dense["pays from"]) == ("2.100", "10.0", "n/a")
    assert (snap["TTFT s"], snap["tokens/s"], snap["pays from"]) == ("3.300", "20.0", "3")
    assert (quest["each s"], quest["TTFT s"], quest["tokens/s"], quest["pays from"]) == ("2.050", "n/a", "n/a", "never")


def test_another_engine_costs_what_it_took_for_all(tmp_path):
    cells = {"d0": cell()}
    records = [timed("d0", served=3.0, width=2)]
    (dense,) = rows(costs_table(summary(tmp_path, records, cells, sessions=["s0"])))
    assert (dense["once s"], dense["each s"], dense["per question s"]) == ("n/a", "n/a", "1.500")
    assert (dense["TTFT s"], dense["tokens/s"], dense["pays from"]) == ("n/a", "n/a", "n/a")


costs = st.integers(0, 6).map(float)


@given(costs, costs, costs, costs)
def test_a_method_pays_where_it_costs_less_for_so_many_questions(once, each, dense_once, dense_each):
    said = pays_from(Cost(once, each, 0, 0, 0), Cost(dense_once, dense_each, 0, 0, 0))
    less = [n for n in range(1, 50) if once + n * each < dense_once + n * dense_each]
    if (once, each) == (dense_once, dense_each):
        assert said == "n/a"
    elif not less:
        assert said == "never"
    elif less[-1] == 49:
        assert said == str(less[0]) and less == list(range(less[0], 50))
    else:
        assert said == f"up to {less[-1]}" and less[0] == 1


def test_models_stand_side_by_side_on_the_sessions_that_are_the_same(tmp_path):
    cells = {"a0": cell(), "b0": cell(model="other")}
    records = [
        answers("a0", "s0", [True, True], documents=("x",)),
        answers("a0", "s1", [False, False], documents=("y",)),
        answers("b0", "s0", [False, True], documents=("x",)),
        answers("b0", "s1", [True, True], documents=("y",)),
        answers("a0", "s2", [True, False], documents=("z",)),
        [*answers("b0", "s2", [True, False], documents=("z",))],
    ]
    records[5][0] = dataclasses.replace(records[5][0], outcome=Outcome.OOM)  # so that other turns of s2 count
    made = summary(tmp_path, records, cells, sessions=["s0", "s1", "s2"])
    file = made.sweep.files["b0"]
    file.write_text(file.read_text().replace("question 3 of s1", "another question"))
    (row,) = rows(models_table(made, "multi_turn"))
    assert (row["sessions"], row["turns"]) == ("2", "3"), "s1 is another session, and a turn of s2 failed"
    assert (row["tiny"], row["other"]) == ("50.0", "25.0")
    file.unlink()
    (row,) = rows(models_table(read_summary(made.sweep.folder / "manifest.json"), "multi_turn"))
    assert (row["sessions"], row["tiny"]) == ("0", "n/a"), "nobody knows what they were asked"


def test_budgets_have_columns(tmp_path):
    made = rows(budgets_table(summary(tmp_path, RECORDS[:6], CELLS), "multi_turn"))
    assert [(row["method"], row["no budget"]) for row in made] == [
        ("dense", "87.5"),
        ("streaming_llm", "n/a"),  # it lacks a task
    ]


def test_scores_are_the_same_from_several_processes(tmp_path, monkeypatch):
    sweep = summary(tmp_path).sweep
    alone = score_cells(sweep)
    monkeypatch.setattr("scbench.results.scores.MANY", 1)
    monkeypatch.setattr("scbench.results.scores.TOGETHER", 1)
    together = score_cells(sweep, workers=2)
    for name in ("scores", "costs", "failures"):
        pd.testing.assert_frame_equal(getattr(alone, name), getattr(together, name))
    assert set(alone.scores.cell) == set(CELLS)
