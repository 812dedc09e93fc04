"""A table's files: Markdown, CSV, LaTeX, HTML and Parquet, each safe against whatever stands in its texts."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache
from html import escape
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from scbench.results.files import write_bytes_atomic
from scbench.results.table import BEST, NEAR, Table, to_csv, to_markdown

LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\char34{}",
    **{sign: f"\\{sign}" for sign in "&%$#_"},
}
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font-family: sans-serif }} table {{ border-collapse: collapse }}
th, td {{ padding: .2em .6em; text-align: left; vertical-align: top }} .number {{ text-align: right }}
thead {{ border-top: 2px solid; border-bottom: 1px solid }} tbody {{ border-bottom: 2px solid }}
</style></head><body>
{table}
</body></html>
"""


def write_table(table: Table, folder: Path) -> list[Path]:
    """Write `<name>.md`, `.csv`, `.tex`, `.html` and `.parquet`; gives their paths."""
    files = {
        "md": to_markdown(table).encode(),
        "csv": to_csv(table).encode(),
        "tex": to_latex(table).encode(),
        "html": PAGE.format(title=escape(table.title), table=to_html(table)).encode(),
        "parquet": to_parquet(table),
    }
    for ending, content in files.items():
        write_bytes_atomic(folder / f"{table.name}.{ending}", content)
    return [folder / f"{table.name}.{ending}" for ending in files]


def to_latex(table: Table) -> str:
    """A `tabular` for the package booktabs: the best bold, what lies within its interval underlined."""
    kinds = "".join("r" if table.is_numeric(index) else "l" for index in range(len(table.columns)))
    written = cache(_latex)
    body = [
        [_marked(written(text), table.marks.get((row, column))) for column, text in enumerate(texts)]
        for row, texts in enumerate(table.texts)
    ]
    lines = [
        f"% {_latex(table.title)}: {_latex(table.note)}",
        f"\\begin{{tabular}}{{{kinds}}}",
        "\\toprule",
        _line([_latex(column.name) for column in table.columns]),
        "\\midrule",
        *map(_line, body),
        "\\bottomrule",
        "\\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def to_html(table: Table) -> str:
    """A `table` element: all texts escaped, the best bold, what lies within its interval underlined."""
    wraps = {BEST: "<strong>{}</strong>", NEAR: "<u>{}</u>", None: "{}"}
    sides = [' class="number"' if table.is_numeric(index) else "" for index in range(len(table.columns))]
    head = "".join(f"<th{side}>{escape(column.name)}</th>" for side, column in zip(sides, table.columns, strict=True))
    written = cache(escape)
    lines = [
        "".join(
            f"<td{sides[column]}>{wraps[table.marks.get((row, column))].format(written(text))}</td>"
            for column, text in enumerate(texts)
        )
        for row, texts in enumerate(table.texts)
    ]
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    caption = f"<caption>{escape(table.title)}</caption>"
    note = f"<p>{escape(table.note)}</p>"
    return f"<table>{caption}<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>\n{note}"


def to_parquet(table: Table) -> bytes:
    """The rows at full precision; columns of numbers as numbers, with nulls for what is n/a; texts as they are."""
    arrays = []
    for index in range(len(table.columns)):
        values = [row[index] for row in table.rows]
        if table.is_numeric(index):
            kind = pa.float64() if any(isinstance(value, float) for value in values) else pa.int64()
            arrays.append(pa.array([None if value != value else value for value in values], type=kind))
        else:
            texts = (str(value).encode(errors="backslashreplace").decode() for value in values)
            arrays.append(pa.array(list(texts), type=pa.string()))
    made = pa.table(arrays, names=[column.name for column in table.columns])
    made = made.replace_schema_metadata({"title": table.title, "note": table.note})
    sink = io.BytesIO()
    parquet.write_table(made, sink)
    return sink.getvalue()


def _latex(text: str) -> str:
    """Text that is a text to LaTeX, in one line; what is outside Latin-1 by its code, for any font and engine."""
    return "".join(LATEX.get(s, s if ord(s) < 256 else f"[U+{ord(s):04X}]") for s in " ".join(text.split()))


def _line(fields: Sequence[str]) -> str:
    r"""A row; after `\\`, which ends the one before, `[` and `*` would be an argument."""
    shield = "{}" if fields[0].startswith(("[", "*")) else ""
    return shield + " & ".join(fields) + r" \\"


def _marked(text: str, mark: str | None) -> str:
    command = {BEST: "textbf", NEAR: "underline"}.get(mark or "")
    return f"\\{command}{{{text}}}" if command else text
