"""TurboQuant on plain lists, with nothing of scbench.

The levels come from shooting, not from repeated means. Of the engine it must share what is drawn: the same seed, the
same order of draws. The rotation is made of them by Gram and Schmidt, column by column.
"""

import functools
import math
from itertools import accumulate

import torch

from oracles.naive_methods import Nothing

STEPS = 20_000  # of the angle whose sine is a coordinate of a direction, from -90 to 90 degrees


@functools.cache
def levels(dim, bits):
    """The lowest level above 0 fixes the border behind it, that fixes the next level, and so to the top.

    It is right if the last level is the mean of all that lies behind its border. Below 0 there is the same.
    """
    mean = _mean_of(dim)
    low, high = 0.0, mean(0.0, 1.0)
    for _ in range(45):
        middle = (low + high) / 2
        _, too_high = _shoot(mean, middle, 2 ** (bits - 1))
        low, high = (low, middle) if too_high else (middle, high)
    found, _ = _shoot(mean, low, 2 ** (bits - 1))
    return [-level for level in reversed(found)] + found


def _shoot(mean, first, count):
    border, found = 0.0, [first]
    while len(found) < count:
        if mean(border, 1.0) <= found[-1]:
            return found, True
        low, high = border, 1.0
        for _ in range(45):
            middle = (low + high) / 2
            low, high = (low, middle) if mean(border, middle) > found[-1] else (middle, high)
        border = low
        found.append(2 * border - found[-1])
    return found, count > 1 and found[-1] > mean(border, 1.0)


def _mean_of(dim):
    """The mean of a coordinate of a random direction between two borders, from sums over a grid of angles."""
    angles = [math.pi * (n + 0.5) / STEPS - math.pi / 2 for n in range(STEPS)]
    weights = [max(0.0, math.cos(angle)) ** (dim - 2) for angle in angles]
    mass = [0.0, *accumulate(weights)]
    moment = [0.0, *accumulate(math.sin(angle) * weight for angle, weight in zip(angles, weights, strict=True))]

    def upto(sums, border):
        place = (math.asin(border) / math.pi + 0.5) * STEPS
        whole = min(int(place), STEPS - 1)
        return sums[whole] + (place - whole) * (sums[whole + 1] - sums[whole])

    def mean(start, stop):
        there = upto(mass, stop) - upto(mass, start)
        return (upto(moment, stop) - upto(moment, start)) / there if there > 0 else start

    return mean


@functools.cache
def drawn(dim, seed):
    """(rotation, sketch) as lists of rows."""
    generator = torch.Generator().manual_seed(seed)
    first, sketch = torch.randn(2, dim, dim, generator=generator, dtype=torch.float64)
    columns = []
    for column in first.T:
        for earlier in columns:
            column = column - (column @ earlier) * earlier
        columns.append(column / column.norm())
    return torch.stack(columns, dim=1), sketch


class TurboQuant(Nothing):
    def __init__(self, bits=4, variant="mse", residual=0, seed=0):
        self.bits, self.variant, self.residual, self.seed = bits, variant, residual, seed

    def act(self, cache, queries, since=0):
        self.settle(cache)

    def settle(self, cache):
        for _, heads in cache.full():
            for entries in heads:
                for entry in entries:
                    k, v = entry.exact
                    if torch.equal(entry.k, k) and entry.position < cache.position - self.residual:
                        entry.k, entry.v = self.rounded(k, self.variant == "prod"), self.rounded(v, False)

    def rounded(self, x, sketched):
        dim = len(x)
        turn, sketch = drawn(dim, self.seed)
        norm = x.double().norm()
        y = turn @ (x.double() / norm) if norm else torch.zeros(dim, dtype=torch.float64)
        choices = torch.tensor(levels(dim, self.bits - 1 if sketched else self.bits), dtype=torch.float64)
        near = choices[(y[:, None] - choices).abs().argmin(1)]
        if sketched:
            rest = y - near
            added = sum(row if row @ rest >= 0 else -row for row in sketch)
            near = near + math.sqrt(math.pi / 2) / dim * float(rest.norm().half()) * added
        return (float(norm.half()) * (turn.T @ near)).to(x.dtype)
