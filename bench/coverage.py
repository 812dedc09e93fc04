"""`python -m bench.coverage`: how often the intervals of results hold the truth, and how wide they are.

Every context has its own chance of a right answer, from a beta distribution, and answers five turns with it: turns of
one context agree more than turns of different ones (intraclass correlation 0.3). For differences, dense and a method
answer the same turns of the same contexts, with correlated chances.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from scbench.results.bootstrap import Part, Weights, mean_of_parts

TURNS = 5
CORRELATION = 0.3  # of turns of one context
CONTEXTS = (20, 35, 70, 100)
ACCURACIES = (0.5, 0.9, 0.99)
LOSSES = (0.0, 0.05)  # what the method's true accuracy is below dense's
ALIKE = (0.0, 0.8)  # the correlation of both methods' chances
RUNS = 2000
BLOCK = 200  # runs that share their draws

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Corner:
    """One row of the table: the share of runs whose interval holds the truth, and the median width.

    `plain` is the coverage of the plain percentile bootstrap of contexts, `least` the width that holds 95 % of the
    estimates themselves: no interval can be much narrower.
    """

    what: str
    contexts: int
    accuracy: float
    coverage: float
    width: float
    least: float
    plain: float


def corners(runs: int = RUNS, seed: int = 0) -> Iterator[Corner]:
    """All corners, first those of means, then those of differences."""
    generator = np.random.default_rng(seed)
    for contexts in CONTEXTS:
        for accuracy in ACCURACIES:
            means = _answered(_chances(accuracy, generator.random((contexts, runs))), generator)
            yield _corner("mean", contexts, accuracy, means, accuracy, (0, 1), generator)
    for alike in ALIKE:
        for loss in LOSSES:
            what = f"difference, loss {loss:g}, correlation {alike:g}"
            for contexts in CONTEXTS:
                for accuracy in ACCURACIES:
                    differences = _differences(accuracy, loss, alike, (contexts, runs), generator)
                    yield _corner(what, contexts, accuracy, differences, -loss, (-1, 1), generator)


def intervals(values: Floats, bounds: tuple[float, float]) -> Floats:
    """Low and high end (rows) of the interval of each run (column) of context means."""
    found = []
    for start in range(0, values.shape[1], BLOCK):
        block = values[:, start : start + BLOCK]
        part = Part(tuple(map(str, range(len(block)))), block, np.ones_like(block))
        limits = np.repeat(np.array(bounds, dtype=float)[:, None], block.shape[1], axis=1)
        found += mean_of_parts([part], limits, Weights(seed=start))
    return np.array([(one.low, one.high) for one in found]).T


def _corner(
    what: str,
    contexts: int,
    accuracy: float,
    values: Floats,
    truth: float,
    bounds: tuple[float, float],
    generator: np.random.Generator,
) -> Corner:
    low, high = intervals(values, bounds)
    drawn = generator.multinomial(contexts, np.full(contexts, 1 / contexts), 1000) @ values / contexts
    plain_low, plain_high = np.quantile(drawn, (0.025, 0.975), axis=0)
    least = float(np.subtract(*np.quantile(values.mean(axis=0), (0.975, 0.025))))
    return Corner(
        what,
        contexts,
        accuracy,
        coverage=_holds(low, high, truth),
        width=float(np.median(high - low)),
        least=least,
        plain=_holds(plain_low, plain_high, truth),
    )


def _holds(low: Floats, high: Floats, truth: float) -> float:
    rounding = 1e-9  # a sum of fifths is not always the truth to the last bit
    return float(np.mean((low <= truth + rounding) & (truth - rounding <= high)))


def _chances(accuracy: float, uniform: Floats) -> Floats:
    strength = 1 / CORRELATION - 1
    return np.asarray(stats.beta.ppf(uniform, accuracy * strength, (1 - accuracy) * strength))


def _answered(chances: Floats, generator: np.random.Generator) -> Floats:
    return np.asarray(generator.binomial(TURNS, chances) / TURNS)


def _differences(
    accuracy: float, loss: float, alike: float, shape: tuple[int, int], generator: np.random.Generator
) -> Floats:
    """Method minus dense per context, from correlated chances (a Gaussian copula)."""
    one, other = generator.standard_normal((2, *shape))
    dense = _chances(accuracy, stats.norm.cdf(one))
    method = _chances(accuracy - loss, stats.norm.cdf(alike * one + np.sqrt(1 - alike**2) * other))
    return _answered(method, generator) - _answered(dense, generator)


def main() -> None:
    """Print the table as Markdown."""
    print("| of | contexts | accuracy | coverage | median width | 95 % of estimates | plain bootstrap's coverage |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for one in corners(int(sys.argv[1]) if len(sys.argv) > 1 else RUNS):
        numbers = f"{one.coverage:.3f} | {one.width:.3f} | {one.least:.3f} | {one.plain:.3f}"
        print(f"| {one.what} | {one.contexts} | {one.accuracy:g} | {numbers} |", flush=True)


if __name__ == "__main__":
    main()
