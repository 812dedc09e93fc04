"""Retr.KV and Retr.Prefix-Suffix: the value itself must be there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from scbench.tasks.session import Answer

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def strict(prediction: str, gold: Answer) -> float:
    """1 if the prediction holds the value as a whole, not as a part of a longer run of letters and digits.

    Where it differs from `ref`:

    - `6e429087-…-54847bdce45b6e429087-…` (no end to the value) is 0; ref 1
    - a UUID in capitals is the same UUID: 1; ref 0 (other values keep their case)
    - an empty gold answer is never there: 0; ref 1
    - blanks around the gold answer do not count: `x` answers `x `; ref 0

    A prediction may name other values too, as one that repeats the key before the value does.
    """
    wanted = str(gold).strip()
    if not wanted:
        return 0.0
    return float(bool(_whole(wanted).search(prediction)))


@lru_cache(maxsize=1 << 14)  # a sweep asks for the same values in every cell
def _whole(wanted: str) -> re.Pattern[str]:
    flags = re.IGNORECASE if _UUID.fullmatch(wanted) else 0
    return re.compile(rf"(?<![0-9A-Za-z]){re.escape(wanted)}(?![0-9A-Za-z])", flags)


def ref(prediction: str, label: Any) -> float:
    """1 if the gold text is a substring; a label that is no text raises `TypeError`."""
    return float(label in prediction)


def ref_in_record(fields: Sequence[str], label: Any) -> float:
    """1 if the label is a key of the original's record, which stands where its text should in Mix.RepoQA+KV.

    So `prediction` would be right in multi-request mode, and no UUID is. A list as label raises `TypeError`.
    """
    return float(label in dict.fromkeys(fields))
