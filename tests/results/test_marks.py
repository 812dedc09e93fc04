"""What stands out in the tables at equal bytes, and in which order budgets stand."""

from __future__ import annotations

from scbench.results.comparison_tables import budgets_table, groups_table, models_table
from scbench.results.matched import matched_table
from scbench.results.scores import score_sweep
from scbench.results.summary import read_summary
from scbench.results.table import BEST, NEAR
from scbench.results.tables import costs_table, turns_table
from sweep_builder import MIB, answers, cell, write_sweep

SESSIONS = [f"s{place}" for place in range(12)]


def summary(root, cells, right, stored):
    records = [
        answers(name, session, [place < right[name], True], stored=stored[name] * MIB)
        for name in cells
        for place, session in enumerate(SESSIONS)
    ]
    manifest = write_sweep(root, cells, records, SESSIONS)
    score_sweep(manifest)
    return read_summary(manifest)


def test_the_best_of_equal_bytes_is_marked_and_what_is_within_its_interval(tmp_path):
    """Dense stores as much as a quarter here, and competes with nobody."""
    cells = {name: cell(method, budget=0.25) for name, method in (("a", "snapkv"), ("b", "quest"), ("c", "pyramidkv"))}
    cells["d"] = cell("dense")
    made = summary(tmp_path, cells, {"a": 12, "b": 11, "c": 0, "d": 12}, dict.fromkeys("abcd", 2))
    table = matched_table(made, "multi_turn", "stored")
    methods = [row[2] for row in table.rows]
    names = [column.name for column in table.columns]
    marks = {(methods[row], names[column]): mark for (row, column), mark in table.marks.items()}
    assert marks == {
        ("snapkv", "Retr.KV (gen)"): BEST,
        ("quest", "Retr.KV (gen)"): NEAR,
        ("snapkv", "mean (gen)"): BEST,
        ("quest", "mean (gen)"): NEAR,
    }


def _marks(table):
    """The marks of a table, by the methods' and the columns' names."""
    places = [column.name for column in table.columns]
    method = places.index("method")
    return {(table.rows[row][method], places[column]): mark for (row, column), mark in table.marks.items()}


def test_means_of_groups_budgets_and_turns_are_marked_among_methods(tmp_path):
    """Dense and bounds compete with nobody, however well they do."""
    cells = {name: cell(method, budget=0.25) for name, method in (("a", "snapkv"), ("b", "quest"), ("c", "pyramidkv"))}
    cells |= {"d": cell("dense"), "o": cell("bounds.oracle_topk", budget=0.25)}
    made = summary(tmp_path, cells, {"a": 11, "b": 10, "c": 0, "d": 12, "o": 12}, dict.fromkeys("abcdo", 2))
    groups = groups_table(made, "multi_turn")
    assert _marks(groups) == {
        (f"{method} (25%)", column): mark
        for method, mark in (("snapkv", BEST), ("quest", NEAR))
        for column in ("String retrieval", "mean")
    }
    assert _marks(budgets_table(made, "multi_turn")) == {
        ("snapkv", "25%"): BEST,
        ("quest", "25%"): NEAR,
    }
    marks = _marks(turns_table(made, "multi_turn"))
    assert {method: mark for (method, turn), mark in marks.items() if turn == "turn 1"} == {
        "snapkv (25%)": BEST,
        "quest (25%)": NEAR,
    }
    assert {method for (method, turn), mark in marks.items() if turn == "turn 2" and mark == BEST} == {
        "snapkv (25%)",
        "quest (25%)",
        "pyramidkv (25%)",
    }


def test_models_are_marked_on_their_common_sessions(tmp_path):
    cells = {
        f"{model}{method}": cell(method, model=model, budget=0.25)
        for model in ("one", "two")
        for method in ("snapkv", "quest")
    }
    right = {"onesnapkv": 12, "onequest": 3, "twosnapkv": 3, "twoquest": 12}
    made = summary(tmp_path, cells, right, dict.fromkeys(cells, 2))
    assert made.sessions_answered("onesnapkv")
    marks = _marks(models_table(made, "multi_turn"))
    assert marks == {("snapkv (25%)", "one"): BEST, ("quest (25%)", "two"): BEST}


def test_budgets_stand_in_their_order(tmp_path):
    shares = {"a": 0.5, "b": 0.125, "c": 0.25}
    cells = {name: cell("snapkv", budget=share) for name, share in shares.items()}
    made = summary(tmp_path, cells, dict.fromkeys("abc", 12), {"a": 4, "b": 1, "c": 2})
    assert [column.name for column in budgets_table(made, "multi_turn").columns[-3:]] == ["12.5%", "25%", "50%"]


def test_costs_have_bytes_too(tmp_path):
    records = [answers("a", "s0", [True, True], stored=2 * MIB, peak_bytes={"prefill": 7 * MIB, "decode": 5 * MIB})]
    manifest = write_sweep(tmp_path, {"a": cell()}, records, ["s0"])
    score_sweep(manifest)
    table = costs_table(read_summary(manifest))
    texts = dict(zip((column.name for column in table.columns), table.texts[0], strict=True))
    assert (texts["KV MiB"], texts["touched MiB"]) == ("2.00", "2.00")
    assert (texts["prefill peak MiB"], texts["decode peak MiB"]) == ("7", "5")
