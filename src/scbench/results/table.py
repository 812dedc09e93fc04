"""A table as data, as Markdown for people and as CSV for programs."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property

from scbench.results.text import visible

Value = str | int | float
MISSING = "n/a"
BEST, NEAR = "best", "near"  # marks: the best of its column, and what lies within the interval of the best
MARKED = {BEST: "**{}**", NEAR: "<ins>{}</ins>", None: "{}"}  # in Markdown
FORMULA = tuple("=+-@＝＋－＠")  # what a spreadsheet takes for one, blanks and line ends before it or not


@dataclass(frozen=True)
class Column:
    """A column's header; `digits` after the point for a column of floats, None for texts and counts."""

    name: str
    digits: int | None = None


@dataclass(frozen=True)
class Table:
    """`name` is the file's stem, `note` says how to read the numbers; a NaN is a value that is n/a.

    `marks` are `BEST` or `NEAR` by place (row, column); a writer that has type shows them.
    """

    name: str
    title: str
    note: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]
    marks: Mapping[tuple[int, int], str] = field(default_factory=dict)

    @cached_property
    def texts(self) -> list[list[str]]:
        """The rows as people read them: numbers rounded, texts with all that is hidden in them made visible."""
        shown = cache(visible)  # the same few texts stand in many rows
        digits = [column.digits for column in self.columns]
        return [
            [
                _rounded(value, digit) if isinstance(value, float) else shown(str(value))
                for value, digit in zip(row, digits, strict=True)
            ]
            for row in self.rows
        ]

    def select(self, keep: Sequence[bool]) -> Table:
        """The table with the columns that `keep` marks."""
        columns = tuple(column for column, kept in zip(self.columns, keep, strict=True) if kept)
        rows = tuple(tuple(v for v, kept in zip(row, keep, strict=True) if kept) for row in self.rows)
        places = {old: new for new, old in enumerate(index for index, kept in enumerate(keep) if kept)}
        marks = {(row, places[column]): mark for (row, column), mark in self.marks.items() if column in places}
        return replace(self, columns=columns, rows=rows, marks=marks)

    def is_numeric(self, index: int) -> bool:
        """Whether a column holds numbers alone, and some."""
        return bool(self.rows) and not any(isinstance(row[index], str) for row in self.rows)


def to_markdown(table: Table) -> str:
    """A pipe table under its title and note; numbers are rounded and aligned to the right, the best is bold, what lies
    within its interval underlined.
    """
    written = cache(_markdown)
    header = [written(column.name) for column in table.columns]
    rule = ["---:" if table.is_numeric(index) else "---" for index in range(len(header))]
    body = [
        [MARKED[table.marks.get((place, column))].format(written(text)) for column, text in enumerate(row)]
        for place, row in enumerate(table.texts)
    ]
    lines = ["| " + " | ".join(row) + " |" for row in (header, rule, *body)]
    return "\n".join([f"## {_markdown(table.title)}", "", table.note, "", *lines, ""])


def to_csv(table: Table) -> str:
    """The same rows with 6 digits after the point, so that programs need not guess."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    written = cache(_guarded)
    writer.writerow(written(column.name) for column in table.columns)
    writer.writerows(
        [written(value) if isinstance(value, str) else _exact(value) for value in row] for row in table.rows
    )
    return text.getvalue()


def _rounded(value: float, digits: int | None) -> str:
    return MISSING if math.isnan(value) else f"{value:.{digits or 0}f}"


def _exact(value: int | float) -> Value:
    if isinstance(value, float):
        return MISSING if math.isnan(value) else round(value, 6)
    return value


def _guarded(value: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    text = visible(value)
    return f"'{text}" if text.startswith(("\t", "\r")) or text.lstrip().startswith(FORMULA) else text


def _markdown(text: str) -> str:
    """Text that stays inside its field: no line ends, no pipes, no HTML, no marks and no links of its own."""
    plain = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\|`*\[~]|\b_|_\b|(?<=www)\.|:(?=//))", r"\\\1", plain)
