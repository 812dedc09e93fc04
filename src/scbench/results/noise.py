"""The noise floor: what a mean may differ by when the same thing is run again in other batches."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan, sqrt

from scbench.results.bootstrap import Part

NORMAL = 1.96  # standard errors that hold 95 %


def noise_floor(parts: Sequence[Part | None], shares: Sequence[float], statistic: int) -> float:
    """The floor of a mean over tasks, each with its share, from the differences of dense_repeat to dense.

    Answers that change may do so in either direction, so a mean difference of zero does not say that there is no noise:
    the floor is the mean difference or, where that is more, 1.96 standard errors of a sum of as large differences with
    random signs, one per context. 0 where no score changed; NaN where a task has no dense_repeat.
    """
    mean = variance = 0.0
    for part, share in zip(parts, shares, strict=True):
        if part is None or statistic >= part.sums.shape[1] or not part.counts[:, statistic].any():
            return nan
        sums, count = part.sums[:, statistic], float(part.counts[:, statistic].sum())
        mean += share * float(sums.sum()) / count
        variance += share**2 * float((sums**2).sum()) / count**2
    return max(abs(mean), NORMAL * sqrt(variance))
