"""Retr.MultiHop: which of the variables are named."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from scbench.scoring.answer import alternatives
from scbench.tasks.session import Answer


def strict(prediction: str, gold: Answer) -> float:
    """The share of the variables that the prediction names, whole words in any case.

    Where it differs from `ref`:

    - 1 of 3 names is 1/3, and 1 of 8 is 0.125; ref rounds to 0.33 and 0.12
    - `ABCDEFGH` names neither `ABC` nor `BCD`; ref both
    - a variable that the gold answer lists twice counts once; ref twice
    - an empty gold answer gives 0; ref raises `ZeroDivisionError`
    """
    wanted = {str(name).strip().casefold() for name in alternatives(gold)} - {""}
    said = prediction.casefold()
    found = [name for name in wanted if _whole(name).search(said)]
    return len(found) / len(wanted) if wanted else 0.0


@lru_cache(maxsize=1 << 14)  # a sweep asks for the same names in every cell
def _whole(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")


def ref(prediction: str, label: Any) -> float:
    """The share of the items of `label` that are substrings in any case, rounded to 2 decimals, half to even.

    Raises `ZeroDivisionError` for an empty label, `TypeError` for one without items, `AttributeError` for items that
    are no texts.
    """
    said = prediction.lower()
    found = sum(1.0 if name.lower() in said else 0.0 for name in label)
    return round(found / len(label), 2)
