"""The pass keys of Mix.Sum+NIAH: the first number is the key."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from scbench.scoring.answer import alternatives
from scbench.tasks.session import Answer

_NUMBER = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})++(?![0-9])|[0-9]++")


def strict(prediction: str, gold: Answer) -> float:
    """1 if the first number of the prediction has the digits of the key, leading zeros included.

    Where it differs from `ref`:

    - a key that the data has as a number is its digits: `71432` answers 71432; ref 0
    - `71,432` and full-width digits are read; ref reads 71, and nothing
    - a key without digits is never said; ref 1 for a prediction without digits and an empty key
    """
    found = _NUMBER.search(unicodedata.normalize("NFKC", prediction))
    wanted = str(alternatives(gold)[0]).strip() if alternatives(gold) else ""
    return float(found is not None and found.group().replace(",", "") == wanted)


def ref(prediction: str, label: Any) -> float:
    """1 if the first run of ASCII digits (empty if there is none) equals the label, or the first of a list of labels.

    An integer label never equals it. Raises `IndexError` for an empty list.
    """
    wanted = label[0] if isinstance(label, list | tuple) else label
    found = re.search("[0-9]+", prediction)
    return float((found.group() if found else "") == wanted)
