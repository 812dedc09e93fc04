"""Which numbers of a table stand out: the best method of each column, and those within its interval."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from math import isnan

from scbench.results.bootstrap import MISSING, Interval
from scbench.results.table import BEST, NEAR

NOTE = "Bold: the best method of a model, setting and budget. Underlined: within the 95 % interval of the best."


def marked(groups: Sequence[Hashable | None], columns: Mapping[int, Sequence[Interval]]) -> dict[tuple[int, int], str]:
    """The marks of a table: `groups` says per row which rows compete (None: not at all), `columns` has the means.

    A row alone in its group competes with nobody.
    """
    marks: dict[tuple[int, int], str] = {}
    for group in dict.fromkeys(group for group in groups if group is not None):
        members = [row for row, its in enumerate(groups) if its == group]
        for column, means in columns.items():
            there = [row for row in members if not isnan(means[row].estimate)]
            if len(there) < 2:
                continue
            best = max(means[row].estimate for row in there)
            low = min((means[row].low for row in there if means[row].estimate == best), default=MISSING.low)
            for row in there:
                if means[row].estimate == best:
                    marks[row, column] = BEST
                elif means[row].estimate >= low:
                    marks[row, column] = NEAR
    return marks
