"""How sure a mean is: a bootstrap over contexts, smoothed so that no interval has width zero.

Contexts are drawn again with exponential weights (the Bayesian bootstrap of Rubin, 1981), whole: the turns of one
context are not independent. Two pseudo-contexts, one with the lowest and one with the highest value that there can be,
each half as heavy as a context, stand for what few contexts cannot show: for contexts that are all right or all wrong
the draws are those of Jeffreys' interval, Beta(right + ½, wrong + ½). The quantiles are widened as Hesterberg (2015)
does for few contexts, which makes the interval of a well-behaved mean that of Student's t.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtr, stdtrit

SAMPLES = 4000
PSEUDO = 0.5  # the weight of each pseudo-context, in contexts
CONFIDENCE = 0.95
FEWEST = 8  # contexts, below which there is no interval
ENDS = ((1.0, 0.0), (0.0, 1.0))  # the lowest pseudo-context alone, the highest alone
HALF = 0.5 - 1e-9  # of a mean's weight
FEW = 20  # contexts, below which an interval is flagged
SEEN = 10  # draws beyond a value, below which the tail is continued as a normal one

Floats = NDArray[np.float64]


class Interval(NamedTuple):
    """An estimate, its 95 % interval, and the p-value of 'it is 0'; NaN where there are too few contexts."""

    estimate: float
    low: float
    high: float
    p: float = math.nan


MISSING = Interval(math.nan, math.nan, math.nan)


@dataclass(frozen=True, eq=False)
class Part:
    """What the contexts of one task say: per context (row) and statistic (column), a sum of values over sessions and
    the number of these sessions.
    """

    contexts: tuple[str, ...]
    sums: Floats
    counts: Floats

    @property
    def estimates(self) -> Floats:
        """The mean over sessions of each statistic; NaN without any session."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.sums.sum(axis=0) / self.counts.sum(axis=0))

    @property
    def sizes(self) -> NDArray[np.int64]:
        """How many contexts each statistic has, as good as: contexts of one size count whole, of unlike sizes less
        (Kish's effective number).
        """
        squares = (self.counts**2).sum(axis=0)
        effective = self.counts.sum(axis=0) ** 2 / np.maximum(squares, 1e-300)
        return np.asarray((effective + 1e-9).astype(np.int64))


class Weights:
    """The weights with which each context is drawn again: by its name alone, so that they are the same for all
    methods, tasks and sweeps.
    """

    def __init__(self, samples: int = SAMPLES, seed: int = 0) -> None:
        if samples < 1:
            raise ValueError(f"samples is at least 1, not {samples}")
        self.samples = samples
        self._seed = seed
        self._known: dict[str, Floats] = {}
        self._pseudo: dict[tuple[float, int], Floats] = {}
        self._stacked: dict[tuple[str, ...], Floats] = {}
        self._summed: WeakKeyDictionary[Part, tuple[Floats, Floats]] = WeakKeyDictionary()

    def of(self, contexts: Sequence[str]) -> Floats:
        """A row per draw, a column per context."""
        names = tuple(contexts)
        if names not in self._stacked:
            self._stacked[names] = np.stack([self._column(context) for context in names], axis=1)
        return self._stacked[names]

    def summed(self, part: Part) -> tuple[Floats, Floats]:
        """Per draw the weighted sums of a part's values, and the weighted numbers of sessions that they are sums of.

        The latter as one column where they are the same for all statistics. A task is asked for alone, in its group
        and overall.
        """
        if part not in self._summed:
            drawn = self.of(part.contexts)
            alike = bool((part.counts == part.counts[:, :1]).all())
            self._summed[part] = drawn @ part.sums, drawn @ (part.counts[:, :1] if alike else part.counts)
        return self._summed[part]

    def pseudo(self, weight: float, part: int) -> Floats:
        """The weights of the lowest and the highest pseudo-context (columns) of the `part`-th task."""
        if (weight, part) not in self._pseudo:
            self._pseudo[weight, part] = self._generator(f"pseudo/{part}").standard_gamma(weight, (self.samples, 2))
        return self._pseudo[weight, part]

    def _column(self, context: str) -> Floats:
        if context not in self._known:
            self._known[context] = self._generator(f"context/{context}").standard_exponential(self.samples)
        return self._known[context]

    def _generator(self, name: str) -> np.random.Generator:
        return np.random.default_rng(int.from_bytes(sha256(f"{self._seed}/{name}".encode()).digest()[:16], "big"))


def mean_of_parts(
    parts: Sequence[Part], bounds: Floats, weights: Weights, shares: Sequence[float] | None = None
) -> list[Interval]:
    """The mean over tasks of each statistic, with its interval; tasks weigh as `shares` says (together 1), by default
    equally, and share the pseudo-contexts alike, as far as their contexts are not the same.

    `bounds` are the lowest and the highest value (rows) that a session can have in each statistic (columns); of a part
    with more statistics the first ones count. A context that several tasks share is drawn again in all of them
    together. A statistic has an interval where tasks of at least `FEWEST` contexts have half the weight or more. The
    others are given a whole context more that has the lowest value for the lower end, and the highest for the upper:
    little is known of them, which widens the interval.
    """
    named = [name for part in parts for name in part.contexts]
    pseudo = PSEUDO * len(named) / len(set(named))
    share = np.full(len(parts), 1 / len(parts)) if shares is None else np.asarray(shares)
    asked = bounds.shape[1]
    sizes = np.stack([part.sizes[:asked] for part in parts])
    known = np.zeros((weights.samples, asked))
    unknown: list[tuple[float, Part, Floats]] = []
    for place, (part, its, size) in enumerate(zip(parts, share.tolist(), sizes[:, 0].tolist(), strict=True)):
        if size >= FEWEST:
            known += its * _draws(part, weights.pseudo(its * pseudo, place), bounds, weights)
        else:
            unknown.append((its, part, weights.pseudo(2 * PSEUDO, place)))
    estimates = share @ np.stack([part.estimates[:asked] for part in parts])
    many = sizes >= FEWEST
    worth = np.where(share @ many >= HALF, np.where(many, sizes, np.iinfo(np.int64).max).min(axis=0), 0)
    if not unknown:
        draws = np.sort(known, axis=0)
        return _intervals(draws, draws, estimates, worth)
    ends = (
        known + sum(its * _draws(part, extra * end, bounds, weights) for its, part, extra in unknown) for end in ENDS
    )
    low, high = (np.sort(np.asarray(draws), axis=0) for draws in ends)
    return _intervals(low, high, estimates, worth)


def mean_interval(values: Sequence[float], groups: Sequence[Hashable], seed: int = 0) -> Interval:
    """The mean of scores in [0, 1] over contexts, and its interval; `groups` says which context a turn is about."""
    part = _part(np.asarray(values, dtype=float), groups)
    return MISSING if part is None else mean_of_parts([part], np.array([[0.0], [1.0]]), Weights(seed=seed))[0]


def paired_difference(a: Sequence[float], b: Sequence[float], groups: Sequence[Hashable], seed: int = 0) -> Interval:
    """The mean of `a - b` over contexts, and its interval.

    `a` and `b` are scores in [0, 1] of the same turns in the same order, `groups` says which context (document) each
    turn is about. Turns weigh equally inside a context, and contexts inside the mean. NaN where there is no turn or a
    score is missing. Raises `ValueError` for lengths that differ.
    """
    if not len(a) == len(b) == len(groups):
        raise ValueError(f"{len(a)} and {len(b)} scores of {len(groups)} turns: they are no pairs")
    part = _part(np.asarray(a, dtype=float) - np.asarray(b, dtype=float), groups)
    return MISSING if part is None else mean_of_parts([part], np.array([[-1.0], [1.0]]), Weights(seed=seed))[0]


def _part(values: Floats, groups: Sequence[Hashable]) -> Part | None:
    """One statistic, the mean of each context; None where there is none."""
    if not values.size or np.isnan(values).any():
        return None
    number = {group: index for index, group in enumerate(dict.fromkeys(groups))}
    of = np.array([number[group] for group in groups])
    means = np.bincount(of, weights=values) / np.bincount(of)
    return Part(tuple(map(str, range(len(means)))), means[:, None], np.ones((len(means), 1)))


def _draws(part: Part, pseudo: Floats, bounds: Floats, weights: Weights) -> Floats:
    """The draws (rows) of each statistic (column) of one task; `pseudo` are the weights of its pseudo-contexts."""
    sums, counts = (drawn[:, : bounds.shape[1]] for drawn in weights.summed(part))
    many = np.maximum((part.counts > 0).sum(axis=0), 1)
    each = (part.counts.sum(axis=0) / many)[: bounds.shape[1]]  # a pseudo-context is no larger
    sizes = each[: counts.shape[1]]
    heavy = counts + pseudo @ np.stack([sizes, sizes])
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((sums + pseudo @ (bounds * each)) / heavy)


def _intervals(low_draws: Floats, high_draws: Floats, estimates: Floats, sizes: NDArray[np.int64]) -> list[Interval]:
    """The interval of each column of sorted draws; those of the two ends are usually the same."""
    enough = sizes >= FEWEST
    size = np.where(enough, sizes, FEWEST).astype(float)
    # what makes the standard deviation of the draws, which has size + 1 where it should have size - 1, the error
    widening = np.sqrt((size + 1) / (size - 1))
    level = ndtr(-widening * stdtrit(size - 1, (1 + CONFIDENCE) / 2))
    low = np.minimum(_quantiles(low_draws, level), estimates)
    high = np.maximum(_quantiles(high_draws, 1 - level), estimates)
    tails = _tail(low_draws) if high_draws is low_draws else np.maximum(_tail(low_draws), _tail(high_draws))
    p = np.minimum(1, 2 * stdtr(size - 1, tails / widening))
    found = np.where(enough, np.stack([low, high, p]), math.nan)
    return [Interval(*map(float, one)) for one in zip(estimates, *found, strict=True)]


def _quantiles(draws: Floats, levels: Floats) -> Floats:
    """One quantile of each column of sorted draws, between its neighbours."""
    places = levels * (len(draws) - 1)
    below = np.floor(places).astype(int)
    columns = np.arange(draws.shape[1])
    one, other = draws[below, columns], draws[np.minimum(below + 1, len(draws) - 1), columns]
    return np.asarray(one + (places - below) * (other - one))


def _tail(draws: Floats) -> Floats:
    """How far out 0 is in each column, as a negative normal score; beyond the last draws as if they were normal."""
    out = np.minimum((draws <= 0).sum(axis=0), (draws >= 0).sum(axis=0))
    normal = ndtri(np.clip(out, SEEN, None) / len(draws))
    beyond = out < SEEN
    if beyond.any():
        some = draws[:, beyond]
        with np.errstate(invalid="ignore", divide="ignore"):
            normal[beyond] = np.minimum(normal[beyond], -np.abs(some.mean(axis=0)) / some.std(axis=0))
    return np.asarray(np.minimum(normal, 0))
