"""p-values of many comparisons, adjusted."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate


def holm(values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values: the chance of any false alarm in the family; NaN stays, and is no member."""
    return _adjusted(values, lambda p, rank, size: p * (size - rank), upwards=True)


def benjamini_hochberg(values: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg's: the expected share of false alarms among the alarms; NaN stays, and is no member."""
    return _adjusted(values, lambda p, rank, size: p * size / (rank + 1), upwards=False)


def _adjusted(values: Sequence[float], factor: Callable[[float, int, int], float], upwards: bool) -> list[float]:
    """Each sorted value times its factor, made monotone from the smallest upwards or from the largest downwards."""
    places = sorted((place for place, p in enumerate(values) if not math.isnan(p)), key=lambda place: values[place])
    scaled = [min(1.0, factor(values[place], rank, len(places))) for rank, place in enumerate(places)]
    monotone = list(accumulate(scaled, max)) if upwards else list(accumulate(scaled[::-1], min))[::-1]
    adjusted = list(values)
    for place, p in zip(places, monotone, strict=True):
        adjusted[place] = p
    return adjusted
