"""What stands out in the tables at equal bytes, and in which order budgets stand."""

from __future__ import annotations

from scbench.results.comparison_tables import budgets_table
from scbench.results.matched import matched_table
from scbench.results.scores import score_sweep
from scbench.results.summary import read_summary
from scbench.results.table import BEST, NEAR
from scbench.results.tables import costs_table
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
