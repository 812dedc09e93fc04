"""Comparisons with dense, against plain loops over the same records."""

from __future__ import annotations

import dataclasses
import math
import random
import statistics
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from scbench.config.cell import Choice
from scbench.record import Outcome, Record
from scbench.results.comparison import Comparison
from scbench.results.comparison_tables import budgets_table, differences_tables, groups_table
from scbench.results.contexts import contexts
from scbench.results.correction import benjamini_hochberg, holm
from scbench.results.labels import labels
from scbench.results.pairs import peers
from scbench.results.scores import score_sweep
from scbench.results.summary import Summary, read_summary
from scbench.results.tables import scores_table
from sweep_builder import answers, cell, write_sweep

SESSIONS = [f"s{place}" for place in range(12)]


def made(root: Path, cells, right: dict[str, list[list[bool]]], **values) -> Summary:
    records = [
        answers(name, session, turns, **values)
        for name, sessions in right.items()
        for session, turns in zip(SESSIONS, sessions, strict=False)
    ]
    return summarised(root, cells, records)


def summarised(root: Path, cells, records: Sequence[Sequence[Record]]) -> Summary:
    manifest = write_sweep(root, cells, records, sessions=SESSIONS)
    score_sweep(manifest)
    return read_summary(manifest)


def guesses(seed: int, chance: float, turns: int = 3) -> list[list[bool]]:
    generator = random.Random(seed)
    return [[generator.random() < chance for _ in range(turns)] for _ in SESSIONS]


def find(summary: Summary, contrast: str = "dense", scope: str = "overall", **names) -> Comparison:
    (found,) = [
        one
        for one in summary.comparisons
        if (one.contrast, one.scope) == (contrast, scope)
        and all(getattr(one, name) == value for name, value in names.items())
    ]
    return found


def test_means_and_differences_are_those_of_a_loop(tmp_path):
    cells = {
        "d": cell(),
        "m": cell("snapkv", budget=0.25),
        "d2": cell(task="en_qa"),
        "m2": cell("snapkv", "en_qa", budget=0.25),
    }
    right = {"d": guesses(1, 0.9), "m": guesses(2, 0.5), "d2": guesses(3, 0.8), "m2": guesses(4, 0.6)}
    summary = made(tmp_path, cells, right)
    mean = {name: 100 * statistics.fmean(map(statistics.fmean, sessions)) for name, sessions in right.items()}
    overall = find(summary)
    assert overall.difference.estimate == pytest.approx((mean["m"] - mean["d"] + mean["m2"] - mean["d2"]) / 2)
    assert overall.mean.estimate == pytest.approx((mean["m"] + mean["m2"]) / 2)
    assert overall.peer == pytest.approx((mean["d"] + mean["d2"]) / 2)
    assert overall.difference.low < overall.difference.estimate < overall.difference.high
    assert (overall.contexts, overall.turns, overall.few, overall.worse) == (12, 72, True, True)
    assert find(summary, scope="task", part="En.QA (gen)").difference.estimate == pytest.approx(mean["m2"] - mean["d2"])
    assert find(summary, scope="group", part="String retrieval").difference.estimate == pytest.approx(
        mean["m"] - mean["d"]
    )
    assert find(summary, scope="turn", turn=2).peer == pytest.approx(
        100 * statistics.fmean(turns[2] for name in ("d", "d2") for turns in right[name])
    )
    assert find(summary, scope="turn", turn=2).turns == 24
    second = find(summary, scope="task_turn", part="Retr.KV (gen)", turn=1)
    assert (second.peer, second.turns) == (pytest.approx(100 * statistics.fmean(d[1] for d in right["d"])), 12)
    expected = 100 * statistics.fmean(m[1] - d[1] for m, d in zip(right["m"], right["d"], strict=True))
    assert second.difference.estimate == pytest.approx(expected)
    did = find(summary, "first_turn", "task", part="Retr.KV (gen)")
    lost = [[m - d for m, d in zip(ms, ds, strict=True)] for ms, ds in zip(right["m"], right["d"], strict=True)]
    assert did.difference.estimate == pytest.approx(100 * statistics.fmean((x[1] + x[2]) / 2 - x[0] for x in lost))
    alone = find(summary, "mean", "task", row="dense", part="Retr.KV (gen)")
    assert alone.mean.estimate == pytest.approx(mean["d"]) and math.isnan(alone.difference.estimate)


def test_a_task_at_two_lengths_has_the_weight_of_one(tmp_path):
    cells = {
        f"{name}{place}": cell(
            "snapkv" if name == "m" else "dense", task, budget=0.25 if name == "m" else None, **options
        )
        for name in "dm"
        for place, (task, options) in enumerate(
            [("retr_kv", {}), ("retr_kv", {"task_options": {"length": 1024}}), ("en_qa", {})]
        )
    }
    right = {name: guesses(place, 0.3 + 0.1 * place) for place, name in enumerate(cells)}
    summary = made(tmp_path, cells, right)
    mean = {name: 100 * statistics.fmean(map(statistics.fmean, sessions)) for name, sessions in right.items()}
    expected = (mean["m0"] + mean["m1"]) / 4 + mean["m2"] / 2
    found = find(summary)
    assert found.mean.estimate == pytest.approx(expected)
    assert found.peer == pytest.approx((mean["d0"] + mean["d1"]) / 4 + mean["d2"] / 2)
    assert found.difference.estimate == pytest.approx(expected - found.peer)
    assert found.mean.low < expected < found.mean.high
    table = scores_table(summary, "multi_turn")
    (row,) = [row for row in table.rows if row[0].startswith("snapkv")]
    names = [column.name for column in table.columns]
    assert row[names.index("mean (gen) strict")] == pytest.approx(expected)


def test_bounds_are_in_no_family_of_tests(tmp_path):
    cells = {"d": cell(), "m": cell("snapkv", budget=0.25), "o": cell("bounds.random", budget=0.25)}
    right = {"d": guesses(1, 0.9), "m": guesses(2, 0.5), "o": guesses(3, 0.1)}
    summary = made(tmp_path, cells, right)
    assert find(summary, method="snapkv").adjusted == find(summary, method="snapkv").difference.p
    bound = find(summary, method="bounds.random")
    assert math.isnan(bound.adjusted) and bound.difference.p < 0.05


def test_a_row_that_loses_at_later_turns_only_is_worse_there_than_at_the_first(tmp_path):
    cells = {"d": cell(), "m": cell("snapkv", budget=0.25)}
    right = {"d": [[True] * 3] * 12, "m": [[True, False, False]] * 12}
    found = find(made(tmp_path, cells, right), "first_turn")
    assert found.difference.estimate == -100 and found.worse and not found.better


def test_only_turns_that_both_answered_are_compared(tmp_path):
    cells = {"d": cell(), "m": cell("snapkv", budget=0.25)}
    records = [answers("d", session, [True, False]) for session in SESSIONS]
    records += [answers("m", session, [True, False]) for session in SESSIONS[:9]]
    records += [answers("m", SESSIONS[9], [False, False], outcome=Outcome.OOM)]
    records += [answers("m", SESSIONS[10], [False, False], outcome=Outcome.NOOP)]
    found = find(summarised(tmp_path, cells, records))
    assert (found.difference.estimate, found.contexts, found.turns) == (0, 9, 18)
    assert found.difference.low < 0 < found.difference.high  # never of width zero


def test_sessions_that_share_a_document_are_one_context(tmp_path):
    cells = {"d": cell(), "m": cell("snapkv", budget=0.25)}
    records = [
        answers(name, session, [name == "d"], documents=(f"doc{place // 2}",))
        for name in cells
        for place, session in enumerate(SESSIONS)
    ]
    found = find(summarised(tmp_path, cells, records))
    assert found.contexts == 6 and not found.known and math.isnan(found.difference.low)
    assert found.flags == ("n/a",)
    assert found.difference.estimate == -100


def test_for_a_row_that_lacks_a_task_the_overall_mean_is_not_there(tmp_path):
    cells = {"d": cell(), "m": cell("snapkv", budget=0.25), "d2": cell(task="en_qa")}
    summary = made(tmp_path, cells, {name: guesses(1, 0.9) for name in cells})
    overall = find(summary)
    assert overall.flags == ("n/a",) and math.isnan(overall.mean.estimate) and math.isnan(overall.difference.estimate)
    assert [one.part for one in summary.comparisons if (one.contrast, one.scope) == ("dense", "task")] == [
        "Retr.KV (gen)"
    ]


def test_a_row_whose_task_failed_whole_stays_in_the_tables_without_numbers(tmp_path):
    cells = {"d": cell(), "m": cell("snapkv", budget=0.25), "d2": cell(task="en_qa")}
    cells |= {"m2": cell("snapkv", "en_qa", budget=0.25)}
    right = {name: guesses(1, 0.9) for name in ("d", "m", "d2")}
    summary = made(tmp_path, cells, right)
    for contrast in ("mean", "dense"):
        names = {"contrast": contrast, "row": "snapkv (25%)"}
        failed = [find(summary, **names), find(summary, scope="group", part="String retrieval", **names)]
        failed += [find(summary, scope="group", part="Semantic retrieval", **names)]
        assert [one.known for one in failed] == [False, True, False]
    shown = {row[2]: row[-2:] for row in groups_table(summary, "multi_turn").rows}
    assert shown["snapkv (25%)"] == ("n/a", "n/a") and "n/a" not in shown["dense"]
    assert [row[2] for row in budgets_table(summary, "multi_turn").rows] == ["dense", "snapkv"]
    (table,) = [one for one in differences_tables(summary) if one.name == "differences_multi_turn"]
    assert [row[-1] for row in table.rows if row[0] == "overall"] == ["n/a"]


def test_generated_published_and_floors_are_apart(tmp_path):
    options = {"g": {}, "p": {"data": "kv.jsonl"}, "f": {"context": "none"}}
    cells = {f"d{key}": cell(task_options=value) for key, value in options.items()}
    cells |= {f"m{key}": cell("snapkv", budget=0.25, task_options=value) for key, value in options.items()}
    summary = made(tmp_path, cells, {name: guesses(1, 0.9) for name in cells})
    overall = [one.kind for one in summary.comparisons if (one.contrast, one.scope) == ("dense", "overall")]
    assert sorted(overall) == ["", "gen", "gen, no context"]


def test_modes_are_paired_in_every_setting_of_their_own():
    """Settings that a sweep varies part cells that have the same name."""
    modes, styles = ("multi_turn", "multi_request"), ("fixed", "ref")
    cells = {
        f"{mode} {style} {window}": dataclasses.replace(
            cell("snapkv", mode=mode, budget=0.25, options={"window": window}), prompt_style=style
        )
        for mode in modes
        for style in styles
        for window in (8, 16)
    }
    found = peers(cells, labels(cells))["mode"]
    assert found == {name: name.replace("multi_turn", "multi_request") for name in cells if "multi_turn" in name}
    queried = {
        f"{mode} {query}": dataclasses.replace(cell("snapkv", mode=mode, budget=0.25), query=query)
        for mode in modes
        for query in ("free", "aware")
    }
    found = peers(queried, labels(queried))["mode"]
    assert found == {name: name.replace("multi_turn", "multi_request") for name in queried if "multi_turn" in name}


def test_a_cell_is_held_against_dense_with_the_same_engine_options():
    engines = {
        name: Choice("own", "scbench.engine.config.EngineConfig", {"kernels": name}) for name in ("torch", "auto")
    }
    cells = {
        f"{method} {name}": dataclasses.replace(cell(method), engine=engine)
        for name, engine in engines.items()
        for method in ("dense", "snapkv")
    }
    assert peers(cells, labels(cells))["dense"] == {"snapkv torch": "dense torch", "snapkv auto": "dense auto"}


def test_modes_and_histories_are_compared_with_themselves(tmp_path):
    cells = {
        "t": cell("snapkv", budget=0.25),
        "r": cell("snapkv", mode="multi_request", budget=0.25),
        "g": cell("snapkv", budget=0.25, history="generated"),
    }
    right = {"t": guesses(1, 0.9), "r": guesses(2, 0.5), "g": guesses(3, 0.7)}
    summary = made(tmp_path, cells, right)
    mean = {name: 100 * statistics.fmean(map(statistics.fmean, sessions)) for name, sessions in right.items()}
    assert find(summary, "mode").difference.estimate == pytest.approx(mean["t"] - mean["r"])
    assert find(summary, "history").difference.estimate == pytest.approx(mean["t"] - mean["g"])


def floor(*tasks):
    """The floor of a mean over tasks, each given by its contexts' differences in points."""
    mean = statistics.fmean(map(statistics.fmean, tasks))
    errors = [math.sqrt(sum(value**2 for value in its)) / len(its) for its in tasks]
    return max(abs(mean), 1.96 * math.sqrt(sum(error**2 for error in errors)) / len(tasks))


def test_answers_that_change_in_both_directions_are_noise(tmp_path):
    cells = {"d": cell(), "e": cell("dense_repeat"), "m": cell("snapkv", budget=0.25)}
    right = {"d": [[True], [False]] * 6, "e": [[False], [True]] * 6, "m": [[True], [True]] * 6}
    found = find(made(tmp_path, cells, right), row="snapkv (25%)")
    assert found.noise == pytest.approx(floor([100] * 6 + [-100] * 6)) and found.noise > 50 and found.within_noise


def test_noise_is_that_of_dense_repeat_in_the_same_scope(tmp_path):
    cells = {"d": cell(), "e": cell("dense_repeat"), "m": cell("snapkv", budget=0.25)}
    cells |= {f"{name}2": cell(one.method_name, "en_qa", budget=one.budget) for name, one in cells.items()}
    right = {"d": [[True, False]] * 12, "m": [[True, False]] * 12}
    right |= {"e": [[True, True]] * 6 + [[False, False]] * 3 + [[True, False]] * 3}
    right |= {"d2": [[True, False]] * 12, "m2": [[True, False]] * 12, "e2": [[False, False]] * 3 + [[True, False]] * 9}
    summary = made(tmp_path, cells, right)

    def noise(scope, **names):
        return find(summary, scope=scope, row="snapkv (25%)", **names).noise

    first, second = "Retr.KV (gen)", "En.QA (gen)"
    one, other = [50] * 6 + [-50] * 3 + [0] * 3, [-50] * 3 + [0] * 9
    assert noise("task", part=first) == pytest.approx(floor(one))
    assert noise("task", part=second) == pytest.approx(floor(other))
    assert noise("overall") == pytest.approx(floor(one, other))
    turns = [0] * 6 + [-100] * 3 + [0] * 3, [100] * 6 + [0] * 6
    assert [noise("task_turn", part=first, turn=turn) for turn in (0, 1)] == pytest.approx(list(map(floor, turns)))
    later = [100] * 6 + [100] * 3 + [0] * 3, [100] * 3 + [0] * 9  # turn 2 minus turn 1
    assert find(summary, "first_turn", row="snapkv (25%)").noise == pytest.approx(floor(*later))
    assert find(summary, scope="task", part=first, row="snapkv (25%)").within_noise


def test_a_difference_is_noise_only_where_its_interval_reaches_the_noise(tmp_path):
    cells = {"d": cell(), "e": cell("dense_repeat"), "m": cell("snapkv", budget=0.25), "n": cell("quest", budget=0.25)}
    right = {"d": [[True, False]] * 12, "m": [[False, False]] * 12, "n": [[True, True]] * 2 + [[True, False]] * 10}
    right |= {"e": [[True, True]] + [[True, False]] * 11}
    summary = made(tmp_path, cells, right)
    far, near = find(summary, row="snapkv (25%)"), find(summary, row="quest (25%)")
    assert far.noise == near.noise == pytest.approx(floor([50] + [0] * 11))
    assert far.difference.high < -far.noise and "noise" not in far.flags
    assert near.difference.estimate > near.noise > near.difference.low and "noise" in near.flags


def test_no_loss_needs_an_interval_above_the_margin_and_better_one_above_zero(tmp_path):
    cells = {"d": cell(), "m": cell("snapkv", budget=0.25), "n": cell("quest", budget=0.25)}
    right = {"d": [[False] * 3] * 12, "m": [[True] * 3] * 12, "n": [[False] * 3] * 12}
    summary = made(tmp_path, cells, right)
    assert find(summary, row="snapkv (25%)").flags == ("few", "better", "no loss")
    same = find(summary, row="quest (25%)")
    assert same.difference.estimate == 0 and same.flags == ("few",)  # 12 contexts cannot show it


def test_overall_means_are_adjusted_by_holm_and_tasks_by_false_discovery_rate(tmp_path):
    cells = {"d": cell(), "d2": cell(task="en_qa")}
    for place in range(3):
        cells |= {f"m{place}": cell("snapkv", budget=2**-place), f"q{place}": cell("snapkv", "en_qa", budget=2**-place)}
    right = {name: guesses(place, 0.9 - 0.1 * (place // 2)) for place, name in enumerate(cells)}
    summary = made(tmp_path, cells, right)
    for scope, correct in (("overall", holm), ("task", benjamini_hochberg)):
        family = [one for one in summary.comparisons if (one.contrast, one.scope) == ("dense", scope)]
        assert len(family) == {"overall": 3, "task": 6}[scope]
        assert [one.adjusted for one in family] == correct([one.difference.p for one in family])


ps = st.lists(st.floats(0, 1), min_size=1, max_size=20)


@given(ps)
def test_false_discovery_rate_is_scipys(values):
    assert benjamini_hochberg(values) == pytest.approx(list(stats.false_discovery_control(values)))


@given(ps)
def test_holm_is_the_closed_test_of_bonferroni(values):
    ordered = sorted(values)
    for value, adjusted in zip(values, holm(values), strict=True):
        steps = [min(1, (len(values) - rank) * p) for rank, p in enumerate(ordered) if p <= value]
        assert adjusted == pytest.approx(max(steps))


def test_missing_p_values_are_no_members_of_the_family():
    assert holm([0.01, math.nan, 0.5])[0] == 0.02
    assert math.isnan(benjamini_hochberg([math.nan])[0])


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.frozensets(st.sampled_from("123456"), min_size=1, max_size=3)))
def test_contexts_are_what_documents_connect(documents):
    found = contexts({("t", session): names for session, names in documents.items()})
    groups = {session: {session} for session in documents}
    for _ in documents:
        for one, a in documents.items():
            for other, b in documents.items():
                if a & b:
                    groups[one] = groups[other] = groups[one] | groups[other]
    for one in documents:
        for other in documents:
            assert (found["t", one] == found["t", other]) == (other in groups[one] or one in groups[other])
