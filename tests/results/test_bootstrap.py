"""The smoothed bootstrap over contexts against closed forms, SciPy's, and a naive loop."""

from __future__ import annotations

import math
import random
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from scbench.results.bootstrap import (
    FEWEST,
    Interval,
    Part,
    Weights,
    mean_interval,
    mean_of_parts,
    paired_difference,
)

turns = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.integers(0, 11)), min_size=1, max_size=60)
BOUNDS = np.array([[0.0], [1.0]])


def group_means(a: list[float], b: list[float], groups: list[int]) -> list[float]:
    return [
        statistics.fmean(x - y for x, y, other in zip(a, b, groups, strict=True) if other == group)
        for group in dict.fromkeys(groups)
    ]


def one(interval: list[Interval]) -> Interval:
    (found,) = interval
    return found


@settings(max_examples=30)
@given(turns)
def test_the_mean_is_over_contexts_whatever_the_number_of_their_turns(turns: list[tuple[float, float, int]]) -> None:
    a, b, groups = (list(values) for values in zip(*turns, strict=True))
    means = group_means(a, b, groups)
    found = paired_difference(a, b, groups)
    assert found.estimate == pytest.approx(statistics.fmean(means))
    if len(means) < FEWEST:
        assert math.isnan(found.low) and math.isnan(found.high) and math.isnan(found.p)
    else:
        assert -1 <= found.low <= found.estimate <= found.high <= 1
        assert found.high - found.low > 0.01
        assert (found.p < 0.05) == (found.low > 0 or found.high < 0) or found.p == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize(("right", "contexts"), [(20, 20), (0, 20), (19, 20), (35, 70), (99, 100), (8, 8)])
def test_of_contexts_all_right_or_all_wrong_it_is_jeffreys_interval_at_students_level(right, contexts):
    level = stats.norm.cdf(-math.sqrt((contexts + 1) / (contexts - 1)) * stats.t.ppf(0.975, contexts - 1))
    jeffreys = stats.beta(right + 0.5, contexts - right + 0.5).ppf([level, 1 - level])
    found = mean_interval([1.0] * right + [0.0] * (contexts - right), range(contexts))
    expected = (min(jeffreys[0], right / contexts), max(jeffreys[1], right / contexts))
    assert (found.low, found.high) == pytest.approx(expected, abs=0.016)


def many(size: int) -> list[float]:
    generator = np.random.default_rng(3)
    return list(np.clip(generator.normal(0.1, 0.2, size), -1, 1))


def test_of_many_contexts_it_is_students_t_interval_and_p() -> None:
    values = [value - 0.08 for value in many(400)]
    found = paired_difference(values, [0.0] * 400, range(400))
    expected = stats.ttest_1samp(values, 0)
    interval = expected.confidence_interval()
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=0.004)
    assert found.p == pytest.approx(expected.pvalue, abs=0.03)


def test_of_many_contexts_it_is_scipys_bootstrap() -> None:
    values = np.array(many(400))
    interval = stats.bootstrap(
        (values,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    found = paired_difference(list(values), [0.0] * 400, range(400))
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=0.003)


def test_the_draws_are_those_of_a_naive_loop_over_two_tasks_that_share_a_context() -> None:
    generator = random.Random(1)
    names = [[f"a{i}" for i in range(9)] + ["both"], [f"b{i}" for i in range(11)] + ["both"]]
    values = [[generator.random() for _ in part] for part in names]
    weights = Weights()
    parts = [Part(tuple(n), np.array(v)[:, None], np.ones((len(v), 1))) for n, v in zip(names, values, strict=True)]
    found = one(mean_of_parts(parts, BOUNDS, weights))
    drawn = []
    for draw in range(weights.samples):
        means = []
        for place in (0, 1):
            low, high = weights.pseudo(0.25 * 22 / 21, place).T
            each = {name: weights.of([name])[draw, 0] for name in names[place]}
            top = sum(each[n] * v for n, v in zip(names[place], values[place], strict=True)) + high[draw]
            means.append(top / (sum(each.values()) + low[draw] + high[draw]))
        drawn.append(statistics.fmean(means))
    level = stats.norm.cdf(-math.sqrt(11 / 9) * stats.t.ppf(0.975, 9))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, [level, 1 - level])), abs=1e-9)
    assert found.estimate == pytest.approx(statistics.fmean(map(statistics.fmean, values)))


def test_a_context_that_two_tasks_share_counts_once() -> None:
    shared = [f"c{i}" for i in range(100)]
    values = np.array(many(100))[:, None]
    here = Part(tuple(shared), values, np.ones_like(values))
    apart = Part(tuple(f"d{i}" for i in range(100)), values, np.ones_like(values))
    bounds = np.array([[-1.0], [1.0]])
    together, independent = (one(mean_of_parts([here, other], bounds, Weights())) for other in (here, apart))
    alone = one(mean_of_parts([here], bounds, Weights()))
    assert together.high - together.low == pytest.approx(alone.high - alone.low, rel=0.06)
    assert independent.high - independent.low < 0.8 * (alone.high - alone.low)


def test_the_interval_of_a_mean_over_perfect_tasks_is_that_of_all_their_contexts() -> None:
    parts = [Part(tuple(f"{t}/{i}" for i in range(20)), np.ones((20, 1)), np.ones((20, 1))) for t in range(12)]
    found = one(mean_of_parts(parts, BOUNDS, Weights()))
    pooled = mean_interval([1.0] * 240, range(240))
    assert found.high == 1 and 0.5 < (1 - found.low) / (1 - pooled.low) < 2


def perfect(name: str, contexts: int) -> Part:
    return Part(tuple(f"{name}{i}" for i in range(contexts)), np.ones((contexts, 1)), np.ones((contexts, 1)))


def test_tasks_of_few_contexts_widen_a_mean_and_are_at_most_half_of_it() -> None:
    many_, also, few, other = perfect("a", 30), perfect("b", 30), perfect("c", 2), perfect("d", 2)
    sure = one(mean_of_parts([many_, also], BOUNDS, Weights()))
    half = one(mean_of_parts([many_, few], BOUNDS, Weights()))
    assert sure.low - half.low > 0.1 and half.high == 1
    # little is known of the few: as if one more context had been wrong, for one half of the mean
    assert half.low == pytest.approx(1 - 0.5 * stats.beta(1, 2).ppf(0.975), abs=0.08)
    assert math.isnan(one(mean_of_parts([many_, few, other], BOUNDS, Weights())).low)
    most = one(mean_of_parts([many_, few, other], BOUNDS, Weights(), [0.5, 0.25, 0.25]))
    assert not math.isnan(most.low)


def test_contexts_of_unlike_sizes_count_as_fewer() -> None:
    counts = np.array([[60.0], *[[1.0]] * 40])
    part = Part(tuple(map(str, range(41))), counts, counts)
    assert part.sizes.tolist() == [int(100**2 / (60**2 + 40))]
    assert math.isnan(one(mean_of_parts([part], BOUNDS, Weights())).low)
    assert perfect("a", 41).sizes.tolist() == [41]


def test_turns_of_one_context_are_not_independent() -> None:
    apart = paired_difference([1.0, 0.0] * 20, [0.0] * 40, range(40))
    together = paired_difference([1.0, 0.0] * 20, [0.0] * 40, [0, 1] * 4 * 5)
    assert apart.estimate == together.estimate == 0.5
    assert math.isnan(together.low)
    groups = [place // 4 for place in range(40)]
    clustered = paired_difference([1.0] * 20 + [0.0] * 20, [0.0] * 40, groups)
    assert clustered.high - clustered.low > 1.5 * (apart.high - apart.low)


def test_a_method_that_is_always_right_where_dense_is_always_wrong_is_beyond_doubt() -> None:
    found = paired_difference([1.0] * 20, [0.0] * 20, range(20))
    assert found.low > 0.7 and found.high == 1 and found.p < 1e-6


def test_the_seed_alone_decides() -> None:
    values = many(20)
    first, again, other = (paired_difference(values, [0.0] * 20, range(20), seed=seed) for seed in (3, 3, 4))
    assert first == again != other


@pytest.mark.parametrize(("a", "b"), [([], []), ([math.nan], [1.0]), ([1.0], [math.nan])])
def test_what_is_missing_is_no_number(a: list[float], b: list[float]) -> None:
    assert all(math.isnan(value) for value in paired_difference(a, b, range(len(a))))


def test_what_are_no_pairs_is_refused() -> None:
    with pytest.raises(ValueError, match="2 and 1 scores of 2 turns"):
        paired_difference([1, 0], [1], [0, 1])
    with pytest.raises(ValueError, match="at least 1"):
        Weights(samples=0)
