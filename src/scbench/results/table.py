"""A table as data, and the two files that keep it: Markdown for people, CSV for programs."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scbench.results.files import write_text_atomic

Value = str | int | float
MISSING = "n/a"


@dataclass(frozen=True)
class Column:
    """A column's header; `digits` after the point for a column of floats, None for texts and counts."""

    name: str
    digits: int | None = None


@dataclass(frozen=True)
class Table:
    """`name` is the file's stem, `note` says how to read the numbers; a NaN is a value that is n/a."""

    name: str
    title: str
    note: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]

    def texts(self) -> list[list[str]]:
        """The rows as people read them, rounded."""
        return [
            [_rounded(value, column.digits) for value, column in zip(row, self.columns, strict=True)]
            for row in self.rows
        ]

    def select(self, keep: Sequence[bool]) -> Table:
        """The table with the columns that `keep` marks."""
        columns = tuple(column for column, kept in zip(self.columns, keep, strict=True) if kept)
        rows = tuple(tuple(v for v, kept in zip(row, keep, strict=True) if kept) for row in self.rows)
        return Table(self.name, self.title, self.note, columns, rows)


def write_table(table: Table, folder: Path) -> list[Path]:
    """Write `<name>.md` and `<name>.csv`; gives their paths."""
    files = {folder / f"{table.name}.md": to_markdown(table), folder / f"{table.name}.csv": to_csv(table)}
    for path, text in files.items():
        write_text_atomic(path, text)
    return list(files)


def to_markdown(table: Table) -> str:
    """A pipe table under its title and note; numbers are rounded and aligned to the right."""
    header = [_markdown(column.name) for column in table.columns]
    rule = ["---:" if _is_numeric(table, index) else "---" for index in range(len(header))]
    body = [[_markdown(text) for text in row] for row in table.texts()]
    lines = ["| " + " | ".join(row) + " |" for row in (header, rule, *body)]
    return "\n".join([f"## {_markdown(table.title)}", "", table.note, "", *lines, ""])


def to_csv(table: Table) -> str:
    """The same rows with 6 digits after the point, so that programs need not guess."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(column.name for column in table.columns)
    writer.writerows([_exact(value) for value in row] for row in table.rows)
    return text.getvalue()


def _is_numeric(table: Table, index: int) -> bool:
    return not any(isinstance(row[index], str) for row in table.rows)


def _rounded(value: Value, digits: int | None) -> str:
    if isinstance(value, float):
        return MISSING if math.isnan(value) else f"{value:.{digits or 0}f}"
    return str(value)


def _exact(value: Value) -> Value:
    if isinstance(value, float):
        return MISSING if math.isnan(value) else round(value, 6)
    return value


def _markdown(text: str) -> str:
    """Text that stays inside its field: no line ends, no pipes, no HTML."""
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
