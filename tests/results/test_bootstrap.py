"""The paired bootstrap against a naive loop, and against SciPy's."""

from __future__ import annotations

import math
import random
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scbench.results.bootstrap import paired_difference

turns = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.integers(0, 4)), min_size=1, max_size=30)


def group_means(a: list[float], b: list[float], groups: list[int]) -> list[float]:
    return [
        statistics.fmean(x - y for x, y, other in zip(a, b, groups, strict=True) if other == group)
        for group in dict.fromkeys(groups)
    ]


@given(turns)
def test_the_mean_is_over_contexts_whatever_the_number_of_their_turns(turns: list[tuple[float, float, int]]) -> None:
    a, b, groups = (list(values) for values in zip(*turns, strict=True))
    expected = statistics.fmean(group_means(a, b, groups))
    found = paired_difference(a, b, groups, samples=200)
    assert found.mean == pytest.approx(expected)
    assert found.low <= found.high
    back = paired_difference(b, a, groups, samples=200)
    assert (back.mean, back.low, back.high) == pytest.approx((-found.mean, -found.high, -found.low))


def scores() -> tuple[list[float], list[float], list[int]]:
    generator = random.Random(5)
    groups = [group for group in range(25) for _ in range(generator.randint(1, 6))]
    a = [generator.random() for _ in groups]
    b = [generator.random() * 0.8 for _ in groups]
    return a, b, groups


def test_the_interval_is_that_of_a_naive_loop() -> None:
    a, b, groups = scores()
    means, generator = group_means(a, b, groups), random.Random(1)
    drawn = sorted(statistics.fmean(generator.choices(means, k=len(means))) for _ in range(20_000))
    found = paired_difference(a, b, groups, samples=20_000)
    assert found.low == pytest.approx(drawn[500], abs=0.006)
    assert found.high == pytest.approx(drawn[-501], abs=0.006)


def test_the_interval_is_that_of_scipy() -> None:
    scipy_stats = pytest.importorskip("scipy.stats")
    a, b, groups = scores()
    means = np.array(group_means(a, b, groups))
    interval = scipy_stats.bootstrap(
        (means,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    found = paired_difference(a, b, groups, samples=20_000)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=0.006)


def test_turns_of_one_context_are_not_independent() -> None:
    apart = paired_difference([1.0, 0.0] * 20, [0.0] * 40, range(40))
    together = paired_difference([1.0] * 20 + [0.0] * 20, [0.0] * 40, [0] * 20 + [1] * 20)
    assert apart.mean == together.mean == 0.5
    assert (together.low, together.high) == (0.0, 1.0)
    assert apart.high - apart.low < 0.4


def test_the_seed_alone_decides() -> None:
    a, b, groups = scores()
    assert paired_difference(a, b, groups, seed=3) == paired_difference(a, b, groups, seed=3)
    assert paired_difference(a, b, groups, seed=3) != paired_difference(a, b, groups, seed=4)


@pytest.mark.parametrize(("a", "b"), [([], []), ([math.nan], [1.0]), ([1.0], [math.nan])])
def test_what_is_missing_is_no_number(a: list[float], b: list[float]) -> None:
    assert all(math.isnan(value) for value in paired_difference(a, b, range(len(a))))


def test_what_are_no_pairs_is_refused() -> None:
    with pytest.raises(ValueError, match="2 and 1 scores of 2 turns"):
        paired_difference([1, 0], [1], [0, 1])
    with pytest.raises(ValueError, match="at least 1"):
        paired_difference([1], [1], [0], samples=0)
