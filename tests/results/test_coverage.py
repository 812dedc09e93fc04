"""The intervals hold the truth as often as they say, in every corner, and are not needlessly wide."""

from __future__ import annotations

import pytest

from bench.coverage import ACCURACIES, ALIKE, CONTEXTS, LOSSES, Corner, corners


@pytest.fixture(scope="module")
def simulated() -> list[Corner]:
    return list(corners())


@pytest.mark.slow
def test_coverage_is_at_least_92_percent_in_every_corner(simulated: list[Corner]) -> None:
    assert len(simulated) == len(CONTEXTS) * len(ACCURACIES) * (1 + len(ALIKE) * len(LOSSES))
    assert [one for one in simulated if one.coverage < 0.92] == []


@pytest.mark.slow
def test_the_plain_bootstrap_fails_where_ours_holds(simulated: list[Corner]) -> None:
    worst = min((one for one in simulated if one.what == "mean"), key=lambda one: one.plain)
    assert (worst.contexts, worst.accuracy) == (20, 0.99) and worst.plain < 0.5


@pytest.mark.slow
def test_intervals_are_not_needlessly_wide(simulated: list[Corner]) -> None:
    for one in simulated:
        if one.accuracy < 0.95:
            assert one.width < 1.35 * one.least + 2 / one.contexts
        assert one.width < 1.35 * one.least + 3.6 / one.contexts
