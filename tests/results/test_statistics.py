import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scbench.results.statistics import cell_means, counted, mean_of_tasks, shares, turn_means

values = st.floats(0, 1)
sessions = st.lists(st.lists(values, min_size=1, max_size=4), min_size=1, max_size=4)


def frame(sessions):
    rows = [
        {"cell": "c", "session": f"s{i}", "turn": turn, "outcome": "ok", "strict": value}
        for i, turns in enumerate(sessions)
        for turn, value in enumerate(turns)
    ]
    return pd.DataFrame(rows)


@given(sessions)
def test_sessions_weigh_equally_however_many_turns_they_have(sessions):
    means = [sum(turns) / len(turns) for turns in sessions]
    expected = sum(means) / len(means)
    assert cell_means(frame(sessions), ["strict"]).at["c", "strict"] == pytest.approx(expected)


def test_the_weights_are_not_those_of_pooled_turns():
    unequal = frame([[1.0], [0.0, 0.0, 0.0]])
    assert cell_means(unequal, ["strict"]).at["c", "strict"] == 0.5
    assert unequal["strict"].mean() == 0.25


def test_a_missing_value_makes_the_mean_missing_not_smaller():
    means = cell_means(frame([[1.0, math.nan], [1.0]]), ["strict"])
    assert math.isnan(means.at["c", "strict"])


def test_turn_means_are_over_sessions():
    means = turn_means(frame([[1.0, 0.0], [0.0, 0.0], [1.0]]), "strict")
    assert means.to_dict() == {("c", 0): pytest.approx(2 / 3), ("c", 1): 0.0}


def test_only_ok_turns_are_counted():
    mixed = frame([[1.0, 0.0, 0.5]]).assign(outcome=["ok", "noop", "truncated"])
    assert counted(mixed)["strict"].tolist() == [1.0]


@pytest.mark.parametrize("means", [[], [0.5, math.nan]])
def test_a_mean_over_tasks_that_lacks_a_part_is_missing(means):
    assert math.isnan(mean_of_tasks(means, "abc"[: len(means)]))


def test_tasks_weigh_equally():
    assert mean_of_tasks([1.0, 0.0, 0.5], ["kv", "qa", "math"]) == 0.5


def test_a_task_at_several_lengths_has_the_weight_of_one():
    tasks = ["kv", "kv", "qa", "kv"]
    assert mean_of_tasks([1.0, 0.0, 0.25, 0.5], tasks) == (0.5 + 0.25) / 2
    assert shares(tasks) == pytest.approx([1 / 6, 1 / 6, 1 / 2, 1 / 6])
