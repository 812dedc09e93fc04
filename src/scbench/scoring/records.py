"""Gen.Records: which records stand where they belong."""

from __future__ import annotations

import re
from itertools import pairwise
from math import fsum, nan
from typing import Any

from scbench.scoring import multihop
from scbench.tasks.session import Answer

QUARTERS = 4
Record = tuple[str, ...]

_LINE = re.compile(r"(?<![0-9A-Za-z])([0-9a-z]{8}) *\|(.*)")


def strict(prediction: str, gold: Answer) -> float:
    """The share of the records that are right, all their fields, at their place: the third one third.

    A line counts as a record if it has a key and a bar; other lines (a preface, a table's header, a fence), marks
    before a key (`3.`, `-`, `|`), and blanks around bars do not matter. A record that is left out moves all later ones
    to wrong places. `ref` does not ask where a record stands.
    """
    right = _right(prediction, gold)
    return fsum(right) / len(right) if right else 0.0


def quarters(prediction: str, gold: Answer) -> tuple[float, ...]:
    """The strict score of each quarter of the answer, in order; NaN for one that has no record (of fewer than four)."""
    right = _right(prediction, gold)
    edges = [len(right) * quarter // QUARTERS for quarter in range(QUARTERS + 1)]
    parts = [right[start:stop] for start, stop in pairwise(edges)]
    return tuple(fsum(part) / len(part) if part else nan for part in parts)


def ref(prediction: str, label: Any) -> float:
    """The share of the records that stand anywhere, scored as the original scores lists (`retr_multihop`)."""
    return multihop.ref(prediction, label.split("\n"))


def _right(prediction: str, gold: Answer) -> list[bool]:
    """Whether each record of the gold answer is the prediction's record of the same number."""
    wanted, said = _records(str(gold)), _records(prediction)
    return [place < len(said) and said[place] == record for place, record in enumerate(wanted)]


def _records(text: str) -> list[Record]:
    found = (_LINE.search(line) for line in text.split("\n"))
    return [(line[1], *(field.strip() for field in line[2].strip(" \t\r|`*").split("|"))) for line in found if line]
