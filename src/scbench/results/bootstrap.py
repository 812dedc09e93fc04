"""Paired bootstrap over contexts: how sure is the difference between two methods."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np

BATCH = 1_000_000  # resampled group means that are held at a time


class Difference(NamedTuple):
    """A mean difference and its 95 % interval; all NaN where a value is missing."""

    mean: float
    low: float
    high: float


def paired_difference(
    a: Sequence[float], b: Sequence[float], groups: Sequence[Hashable], seed: int = 0, samples: int = 10_000
) -> Difference:
    """The mean of `a - b` over groups, and its 95 % percentile interval when whole groups are drawn again.

    `a` and `b` are scores of the same turns in the same order, `groups` says which context (document) each turn is
    about: turns of one context are not independent. Turns weigh equally inside a group, and groups inside the mean.
    NaN where there is no turn or a score is missing. Raises `ValueError` for lengths that differ, or no samples.
    """
    if not len(a) == len(b) == len(groups):
        raise ValueError(f"{len(a)} and {len(b)} scores of {len(groups)} turns: they are no pairs")
    if samples < 1:
        raise ValueError(f"samples is at least 1, not {samples}")
    differences = np.asarray(a, dtype=float) - np.asarray(b, dtype=float)
    if not differences.size or np.isnan(differences).any():
        return Difference(math.nan, math.nan, math.nan)
    means = _group_means(differences, groups)
    resampled = _resampled_means(means, np.random.default_rng(seed), samples)
    low, high = np.quantile(resampled, (0.025, 0.975))
    return Difference(float(means.mean()), float(low), float(high))


def _group_means(values: np.ndarray, groups: Sequence[Hashable]) -> np.ndarray:
    number = {group: index for index, group in enumerate(dict.fromkeys(groups))}
    of = np.array([number[group] for group in groups])
    return np.asarray(np.bincount(of, weights=values) / np.bincount(of))


def _resampled_means(means: np.ndarray, generator: np.random.Generator, samples: int) -> np.ndarray:
    """The mean of as many groups, drawn with replacement, `samples` times."""
    size = len(means)
    batch = max(1, BATCH // size)
    parts = [min(batch, samples - start) for start in range(0, samples, batch)]
    return np.concatenate([means[generator.integers(size, size=(part, size))].mean(axis=1) for part in parts])
