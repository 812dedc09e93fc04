"""What differs between two versions of a table, number by number."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

RELATIVE, ABSOLUTE = 1e-9, 1.01e-6  # tables have 6 digits after the point, and another machine rounds the last anew
SHOWN = 60  # characters of a value
FIELD = 1 << 26  # characters of a field, such as a long reason


def csv_differences(packed: Path, made: Path, name: str) -> Iterator[str]:
    """One line per number or text of the packed CSV file that differs from the one made anew."""
    csv.field_size_limit(FIELD)
    mine, theirs = (
        list(csv.reader(path.read_text(encoding="utf-8").splitlines(keepends=True))) for path in (packed, made)
    )
    header, wanted = (rows[0] if rows else [] for rows in (mine, theirs))
    if header != wanted:
        yield f"{name}: its columns are {_short(', '.join(header))}, and follow as {_short(', '.join(wanted))}"
        return
    if len(mine) != len(theirs):
        yield f"{name}: it has {len(mine) - 1} rows, and {len(theirs) - 1} follow from the records"
    for number, (row, other) in enumerate(zip(mine[1:], theirs[1:], strict=False), 1):
        if row == other:
            continue
        for column, one, two in zip_longest(header, row, other, fillvalue=""):
            if not _same(one, two):
                label = " · ".join(value for value in other[:5] if value)
                place = f"{name}, row {number} ({_short(label)}), column {column}"
                yield f"{place}: {_short(one)}, and {_short(two)} follows"


def _same(one: str, two: str) -> bool:
    if one == two:
        return True
    if "_" in one or "_" in two:  # which `float` takes for a number's own
        return False
    try:
        return math.isclose(float(one), float(two), rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    except ValueError:
        return False


def _short(text: str) -> str:
    """A value as it may be printed: one line, and not the whole of a long one."""
    plain = "".join(sign if sign.isprintable() else "·" for sign in text)
    return repr(plain if len(plain) <= SHOWN else plain[:SHOWN] + "…") if plain else "nothing"
