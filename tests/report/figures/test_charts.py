import dataclasses
from math import isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scbench.record import Diagnostics, Fidelity, Outcome, StageTime
from scbench.report.figures import (
    attention,
    budgets,
    divergence,
    interactive,
    lengths,
    memory,
    stages,
    static,
    tasks,
    turns,
)
from scbench.report.figures.catalogue import all_charts
from scbench.report.figures.chart import Point
from scbench.report.figures.style import styles
from scbench.results.scores import score_sweep, sweep_records
from scbench.results.summary import read_summary
from sweep_builder import MIB, answers, cell, write_sweep
from wide_sweep import wide_sweep


def summary(root, cells, records):
    path = write_sweep(root, cells, records)
    score_sweep(path)
    return read_summary(path)


def marks(panel):
    return {series.name: [(point.x, point.y) for point in series.points] for series in panel.series}


CELLS = {
    "d1": cell(),
    "d2": cell(task="en_qa"),
    "s1": cell("streaming_llm", budget=0.25),
    "s2": cell("streaming_llm", task="en_qa", budget=0.25),
    "t1": cell("streaming_llm", budget=0.5),
    "t2": cell("streaming_llm", task="en_qa", budget=0.5),
    "o1": cell("bounds.oracle", budget=0.25),
    "n1": cell("snapkv", budget=0.5),
}
RECORDS = [
    answers("d1", "s0", [True, False], stored=8 * MIB),
    answers("d2", "s0", [True, True], stored=8 * MIB),
    answers("s1", "s0", [False, True], stored=2 * MIB),
    answers("s2", "s0", [False, False], stored=4 * MIB),
    answers("t1", "s0", [False, False], stored=4 * MIB),
    answers("t2", "s0", [True, True], stored=4 * MIB),
    answers("o1", "s0", [True, True], stored=1 * MIB),
    answers("n1", "s0", [True, True], outcome=Outcome.NOOP),
]


def test_memory_has_a_mark_at_every_mean_and_joins_budgets(tmp_path):
    mean, first, second = memory.chart(summary(tmp_path, CELLS, RECORDS), "tiny").panels
    assert first.title == "Retr.KV (gen), multi_turn (n/a: 1)"
    assert marks(first) == {
        "dense": [(8, 50)],
        "streaming_llm": [(2, 50), (4, 0)],
        "bounds.oracle": [(1, 100)],
        "Pareto front": [(2, 50)],  # the bound is none to choose
    }
    assert [point.text for point in first.series[1].points] == ["streaming_llm (25%)", "streaming_llm (50%)"]
    assert marks(second)["Pareto front"] == [(4, 100)]
    assert mean.title == "mean of 2 tasks (gen), multi_turn (n/a: 2)"
    assert marks(mean) == {
        "dense": [(8, 75)],
        "streaming_llm": [(3, 25), (4, 50)],
        "Pareto front": [(3, 25), (4, 25), (4, 50), (8, 50), (8, 75)],
    }


def test_marks_have_the_intervals_of_the_tables(tmp_path):
    cells = {name: CELLS[name] for name in ("d1", "d2", "s1", "s2")}
    records = [
        answers(name, f"s{number}", [number % 3 > 0, name[0] == "d"], stored=MIB)
        for name in cells
        for number in range(10)
    ]
    path = write_sweep(tmp_path, cells, records, sessions=[f"s{number}" for number in range(10)])
    score_sweep(path)
    made = read_summary(path)
    mean, first, _ = memory.chart(made, "tiny").panels
    (dense,) = first.series[0].points
    assert (dense.low, dense.high) == made.interval("d1")[1:3]
    assert dense.low < dense.y < dense.high
    (dropped,) = mean.series[1].points
    assert (dropped.low, dropped.high) == made.overall("tiny", "streaming_llm (25%)", "", "multi_turn", "gen")[1:3]
    assert dropped.low < dropped.y < dropped.high < dense.high
    assert budgets.chart(made, "tiny") is None  # one budget
    drawn = interactive.spec(memory.chart(made, "tiny"))["traces"][0]["error_y"]
    assert drawn["array"] == [mean.series[0].points[0].high - 80] and not drawn["symmetric"]
    assert "LineCollection" in static.save(memory.chart(made, "tiny"), tmp_path)


def test_few_contexts_have_no_bars(tmp_path):
    made = memory.chart(summary(tmp_path, CELLS, RECORDS), "tiny")
    assert all(isnan(point.low) for panel in made.panels for series in panel.series for point in series.points)
    assert all("error_y" not in trace for trace in interactive.spec(made)["traces"])
    assert "LineCollection" not in static.save(made, tmp_path)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12))
def test_the_front_is_what_nothing_dominates(pairs):
    def dominated(one):
        return any((x <= one[0] and y >= one[1]) and (x, y) != one for x, y in pairs)

    front = [(point.x, point.y) for point in memory.front([Point(x, y) for x, y in pairs])]
    assert front == sorted({pair for pair in pairs if not dominated(pair)})


def test_turns(tmp_path):
    made = summary(tmp_path, CELLS, RECORDS)
    chart = turns.chart(made, "tiny")
    assert marks(chart.panels[1])["dense"] == [(1, 100), (2, 0)]
    assert marks(chart.panels[0])["dense"] == [(1, 100), (2, 50)]
    one = [answers("d1", "s0", [True])]
    assert turns.chart(summary(tmp_path / "one", {"d1": cell()}, one), "tiny") is None


def test_budgets_stand_by_size_and_dense_by_none(tmp_path):
    cells = CELLS | {
        "k1": cell("quest", budget=1024),
        "k2": cell("quest", budget=64),
        "k3": cell("quest", budget="1MiB"),
    }
    records = [*RECORDS, *(answers(name, "s0", [True], stored=MIB) for name in ("k1", "k2", "k3"))]
    chart = budgets.chart(summary(tmp_path, cells, records), "tiny")
    assert chart.x.ticks == ("25%", "50%", "64 tokens", "1024 tokens", "1MiB", "none")
    first = marks(chart.panels[1])
    assert first["streaming_llm"] == [(0, 50), (1, 0)]
    assert first["dense"] == [(5, 50)]
    assert first["quest"] == [(2, 100), (3, 100), (4, 100)]
    few = {name: CELLS[name] for name in ("d1", "s1")}
    texts = ("10MiB", "2MiB", "64MiB/token", "8kB/token", "100%stored", "25%stored", "4KiB", "3%touched")
    more = {f"b{place}": cell("quest", budget=text) for place, text in enumerate(texts)}
    several = budgets.chart(summary(tmp_path / "texts", more, [answers(name, "s0", [True]) for name in more]), "tiny")
    assert several.x.ticks == (
        *("4KiB", "2MiB", "10MiB", "25%stored", "100%stored", "8kB/token", "64MiB/token", "3%touched", "none"),
    )
    assert budgets.chart(summary(tmp_path / "few", few, [RECORDS[0], RECORDS[2]]), "tiny") is None


def test_lengths(tmp_path):
    cells = {f"l{length}": cell(task_options={"length": length}) for length in (2048, 512)} | {"e": cell(task="en_qa")}
    records = [answers("l2048", "s0", [False]), answers("l512", "s0", [True]), answers("e", "s0", [True])]
    chart = lengths.chart(summary(tmp_path, cells, records), "tiny")
    (panel,) = chart.panels
    assert panel.title == "Retr.KV (gen), multi_turn"
    assert marks(panel) == {"dense": [(512, 100), (2048, 0)]}
    assert chart.x.log and chart.x.title == "context, tokens"
    assert lengths.chart(summary(tmp_path / "one", CELLS, RECORDS), "tiny") is None


def test_stages_are_parts_of_a_bar_and_absent_ones_are_not_zero(tmp_path):
    slow = [dataclasses.replace(r, times=r.times | {"compress": StageTime(0.25, "own")}) for r in RECORDS[2]]
    made = summary(tmp_path, {name: CELLS[name] for name in ("d1", "s1")}, [RECORDS[0], slow])
    (panel,) = stages.chart(made, "tiny").panels
    assert panel.rows == ("dense", "streaming_llm (25%)")
    assert [part.name for part in panel.parts] == ["prefill (shared)", "compress (own)", "decode (batch)"]
    prefill, compress, decode = (part.values for part in panel.parts)
    assert prefill == (2.0, 2.0) and decode == (0.5, 0.5)
    assert isnan(compress[0]) and compress[1] == 0.25


def test_tasks_are_a_grid_with_gaps(tmp_path):
    (grid,) = tasks.chart(summary(tmp_path, CELLS, RECORDS), "tiny").panels
    assert grid.columns == ("mean of 2 tasks (gen)", "Retr.KV (gen)", "En.QA (gen)")
    lines = dict(zip(grid.rows, grid.values, strict=True))
    assert lines["dense"] == (75, 50, 100)
    assert lines["bounds.oracle (25%)"][1] == 100 and isnan(lines["bounds.oracle (25%)"][2])


def test_divergence(tmp_path):
    more = {"d1": (0.0, (5, 6, 7)), "s1": (0.5, (5, 6, 8))}
    records = [
        [
            dataclasses.replace(r, fidelity=Fidelity(3, -1.0, more[r.cell][0]), output_ids=more[r.cell][1])
            for r in session
        ]
        for session in (RECORDS[0], RECORDS[2])
    ]
    made = summary(tmp_path, {name: CELLS[name] for name in more}, records)
    assert marks(divergence.kl_chart(made, "tiny").panels[0]) == {"dense": [(100, 0)], "streaming_llm": [(25, 0.5)]}
    assert marks(divergence.tokens_chart(made, "tiny").panels[0]) == {"dense": [(100, 3)], "streaming_llm": [(25, 2)]}
    plain = summary(tmp_path / "plain", CELLS, RECORDS)
    assert divergence.kl_chart(plain, "tiny") is None and divergence.tokens_chart(plain, "tiny") is None


def looked(mass, before=None):
    """Two layers of one KV head; steps 0 and 16."""
    heads = tuple((line,) for line in mass)
    return Diagnostics(8, (0, 1), (0, 16), heads, heads, None if before is None else tuple((line,) for line in before))


def test_attention_is_the_mean_over_layers_then_turns_then_sessions(tmp_path):
    records = [
        *answers("d1", "s0", [True, True], diagnostics=looked(((0.0, 1.0), (0.5, 0.0)))),
        *answers("d1", "s1", [True], diagnostics=looked(((1.0, 1.0), (1.0, 1.0)), ((0.0, 1.0), (1.0, 1.0)))),
        *answers("d1", "s2", [True], outcome=Outcome.NOOP, diagnostics=looked(((0.0, 0.0), (0.0, 0.0)))),
    ]
    look = attention.look(records)
    assert look["mass"] == {0: (0.25 + 1) / 2, 16: (0.5 + 1) / 2}
    assert look["since_turn_before"] == {0: 0.5, 16: 1.0}
    made = summary(tmp_path, {"d1": cell()}, [RECORDS[0]])
    first, *_, last = attention.charts(made, "tiny", {"d1": look})
    assert marks(first.panels[0]) == {"dense": [(0, 0.625), (16, 0.75)]}
    assert last.name == "attention_turn"
    assert attention.charts(made, "tiny", {"d1": attention.look(RECORDS[0])}) == []


def test_every_figure_is_made_where_there_is_data_and_none_where_not(tmp_path):
    made = read_summary(wide_sweep(tmp_path))
    looks = {name: attention.look(sweep_records(made.sweep, name)) for name in made.labels}
    assert [chart.name for chart in all_charts(made, looks)] == [
        *("score_memory", "score_task", "score_turn", "score_budget", "score_length", "stages"),
        *("divergence_kl", "divergence_tokens", "attention_mass", "attention_compression"),
    ]
    nothing = summary(tmp_path / "nothing", {"d1": cell()}, [])
    assert all_charts(nothing, {"d1": {}}) == []


def test_models_have_figures_of_their_own(tmp_path):
    cells = {"a": cell(), "b": cell(model="other")}
    records = [answers("a", "s0", [True], stored=8 * MIB), answers("b", "s0", [False], stored=2 * MIB)]
    made = all_charts(summary(tmp_path, cells, records), {"a": {}, "b": {}})
    assert [chart.name for chart in made][:2] == ["score_memory_1", "score_task_1"]
    other = next(chart for chart in made if chart.name == "score_memory_2")
    assert other.title == "Score against memory: other"
    assert marks(other.panels[0])["dense"] == [(2, 0)]


@pytest.mark.parametrize("count", [1, 56])
def test_methods_look_different_and_variants_of_one_differ_in_dashes(count):
    made = styles((f"m{number}", variant) for number in range(count) for variant in ("a", "b"))
    assert len(set(made.values())) == 2 * count
    assert len({(style.colour, style.marker) for style in made.values()}) == count
