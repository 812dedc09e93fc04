"""The best levels for a coordinate of a random direction: Lloyd-Max for its exact density."""

from __future__ import annotations

from functools import cache

import numpy as np

NODES = 64  # of a quadrature between two borders
ENOUGH = 1e-12  # a step of the iteration below which it ends
MOST = 20_000  # steps


@cache
def levels(dim: int, bits: int) -> tuple[float, ...]:
    """The 2^bits levels, ascending, that a coordinate x of a random unit vector in `dim` dimensions is rounded to.

    x has the density f(x) ∝ (1 - x²)^((dim - 3) / 2) on [-1, 1] (TurboQuant, arXiv 2504.19874, lemma 1), and the levels
    minimise E (x - level)²: each is the mean of x between its borders, and a border lies in the middle of two levels
    (§3.1). With x = sin θ the density is cos^(dim - 2) θ, which is smooth up to the ends. Raises ValueError below two
    dimensions, or if the iteration does not come to rest.
    """
    if dim < 2:
        raise ValueError(f"a direction in {dim} dimensions has no density")
    node, weight = np.polynomial.legendre.leggauss(NODES)
    level = np.linspace(-1.0, 1.0, 2 ** (bits + 1) + 1)[1::2] * min(1.0, 3.0 / np.sqrt(dim))
    for _ in range(MOST):
        border = np.concatenate([[-np.pi / 2], np.arcsin((level[1:] + level[:-1]) / 2), [np.pi / 2]])
        half, middle = np.diff(border) / 2, (border[1:] + border[:-1]) / 2
        mass = (half[:, None] * np.cos(middle[:, None] + half[:, None] * node) ** (dim - 2)) @ weight
        closer = -np.diff(np.cos(border) ** (dim - 1)) / (dim - 1) / mass  # ∫ sin θ cos^(dim - 2) θ has a closed form
        step, level = float(np.abs(closer - level).max()), closer
        if step < ENOUGH:
            return tuple(float(one) for one in level)
    raise ValueError(f"the levels for {dim} dimensions and {bits} bits do not come to rest")
