"""Hostile texts in tables: every format stays what it is, and shows them as text."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from scbench.record import Outcome
from scbench.results.bootstrap import Interval
from scbench.results.formats import to_html, to_latex, to_parquet, write_table
from scbench.results.frames import read_scored
from scbench.results.marking import marked
from scbench.results.published import NOT_FOUND, published_table
from scbench.results.scores import score_sweep
from scbench.results.table import BEST, NEAR, Column, Table, to_csv, to_markdown
from sweep_builder import answers, cell, write_sweep

HOSTILE = [
    "<script>alert(1)</script>",
    "</td></tr></table>",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2",
    "@SUM(A1)",
    "\t=1",
    r"\input{/etc/passwd} & % $ # _ ^ ~ { }",
    "a|b\nc",
    "[x](javascript:alert(1)) `y` *z*",
    "\u202egnorw\u202c \x00\x07\x1b[31m",
    '"quoted", and, commas',
    "\ud800",
    "x" * 1_000_000,
]
TABLE = Table("t", "T <b>", "note & more", (Column("text"), Column("n", 1)), tuple((text, 0.5) for text in HOSTILE))


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fields: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "td":
            self.fields.append("")

    def handle_data(self, data):
        if self.fields:
            self.fields[-1] += data


def test_html_has_the_tables_own_elements_alone():
    page = Page(to_html(TABLE))
    assert set(page.tags) == {"table", "caption", "thead", "tbody", "tr", "th", "td", "p"}
    assert page.tags.count("td") == 2 * len(HOSTILE)
    assert page.fields[0] == HOSTILE[0]


def test_csv_cells_are_no_formulas_and_rows_stay_rows():
    rows = list(csv.reader(io.StringIO(to_csv(TABLE))))
    assert len(rows) == 1 + len(HOSTILE) and {len(row) for row in rows} == {2}
    assert not [row[0] for row in rows if row[0].startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert rows[3][0] == "'" + HOSTILE[2]
    assert all(row[1] == "0.5" for row in rows[1:])
    hidden = Table("t", "T", "", (Column("n"),), tuple((text,) for text in (" =1+1", "\n=1+1", "＝1+1", "a = b")))
    assert [row[0] for row in csv.reader(io.StringIO(to_csv(hidden)))][1:] == ["' =1+1", "'\n=1+1", "'＝1+1", "a = b"]
    negative = Table("t", "T", "", (Column("n", 1),), ((-0.5,),))
    assert to_csv(negative) == "n\n-0.5\n"  # a number is a number


def test_markdown_rows_stay_rows():
    lines = to_markdown(TABLE).splitlines()
    assert len(lines) == 6 + len(HOSTILE)
    for line in lines[6:]:
        assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) == 3
        assert "<" not in line and not re.search(r"(?<!\\)[\[`*]", line)


def test_markdown_makes_no_emphasis_and_no_links_of_its_own():
    texts = ("_a_ and streaming_llm", "see http://x.org and www.x.org", "~~gone~~")
    body = to_markdown(Table("t", "T", "", (Column("n"),), tuple((text,) for text in texts))).splitlines()[-3:]
    assert body == [
        r"| \_a\_ and streaming_llm |",
        r"| see http\://x.org and www\.x.org |",
        r"| \~\~gone\~\~ |",
    ]


def test_an_empty_table_has_columns_of_texts_in_parquet():
    empty = parquet.read_table(io.BytesIO(to_parquet(Table("t", "T", "", (Column("detail"),), ()))))
    assert empty.num_rows == 0 and pa.types.is_string(empty.schema.field("detail").type)


def test_latex_has_no_commands_of_the_text():
    lines = to_latex(TABLE).splitlines()
    assert len(lines) == 7 + len(HOSTILE)
    body = lines[5:-2]
    assert all(line.endswith(r"& 0.5 \\") for line in body)
    commands = set(re.findall(r"\\([A-Za-z]+)", "\n".join(body)))
    assert commands <= {
        "textbackslash",
        "textasciitilde",
        "textasciicircum",
        "textless",
        "textgreater",
        "textbar",
        "char",
    }
    for sign in "&%$#_":
        assert not re.search(rf"(?<!\\){re.escape(sign)}", body[7].removesuffix(r"& 0.5 \\"))


def test_latex_rows_begin_with_no_argument_and_end_in_any_engine():
    texts = ("[2pt] x", "*", "漢 é –", '"a"', "[x] y")
    body = to_latex(Table("t", "T", "", (Column("m"),), tuple((text,) for text in texts))).splitlines()[4:-2]
    assert body[1:] == [
        r"{}[2pt] x \\",
        r"{}* \\",
        r"{}[U+6F22] é [U+2013] \\",
        r"\char34{}a\char34{} \\",
        r"{}[x] y \\",
    ]


def test_no_format_lets_controls_or_a_megabyte_through():
    for text in (to_html(TABLE), to_csv(TABLE), to_markdown(TABLE), to_latex(TABLE)):
        assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e]", text)
        assert len(text) < 20_000
        text.encode()


def test_parquet_keeps_texts_and_numbers(tmp_path):
    (tmp_path / "t.parquet").write_bytes(to_parquet(TABLE))
    frame = pd.read_parquet(tmp_path / "t.parquet")
    assert frame["n"].tolist() == [0.5] * len(HOSTILE)
    assert frame["text"].tolist()[:12] == HOSTILE[:12]


def test_the_best_is_bold_and_what_is_near_it_underlined(tmp_path):
    table = Table("t", "T", "", (Column("m"), Column("x", 1)), (("a", 1.0), ("b", 2.0)), {(0, 1): NEAR, (1, 1): BEST})
    assert r"\underline{1.0}" in to_latex(table) and r"\textbf{2.0}" in to_latex(table)
    assert "<u>1.0</u>" in to_html(table) and "<strong>2.0</strong>" in to_html(table)
    alone = table.select([False, True])
    assert alone.marks == {(0, 0): NEAR, (1, 0): BEST}
    assert [path.suffix for path in write_table(table, tmp_path)] == [".md", ".csv", ".tex", ".html", ".parquet"]


def test_the_best_of_each_group_is_marked_and_what_lies_in_its_interval():
    means = [
        Interval(90, 85, 95),
        Interval(86, 80, 92),
        Interval(50, 40, 60),
        Interval(99, 98, 100),
        Interval(70, 60, 80),
    ]
    assert marked(["g", "g", "g", None, "alone"], {3: means}) == {(0, 3): BEST, (1, 3): NEAR}


def test_published_values_have_sources_and_gaps_say_so():
    rows = [dict(zip((c.name for c in published_table().columns), row, strict=True)) for row in published_table().rows]
    assert all(row["source"] for row in rows)
    kivi = next(row for row in rows if row["method"] == "kivi")
    assert (kivi["String retrieval"], kivi["Semantic retrieval"], kivi["mean"]) == ("12.0", NOT_FOUND, "32.0")


@pytest.mark.parametrize("text", HOSTILE[:-2])
def test_what_records_say_comes_back_from_the_scores_files_unchanged(tmp_path, text):
    records = [answers("d0", f"s{text}", [True], detail=text, outcome=Outcome.ERROR)]
    manifest = write_sweep(tmp_path, {"d0": cell()}, records, sessions=[f"s{text}", text])
    score_sweep(manifest)
    again = read_scored(manifest.parent)
    assert again.failures["detail"][0] == text
    with (manifest.parent / "failures.csv").open(newline="") as lines:
        cells = [field for row in csv.reader(lines) for field in row]
    assert not [field for field in cells if field.startswith(("=", "+", "-", "@", "\t", "\r"))]
