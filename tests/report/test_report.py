import base64
import gzip
import hashlib
import io
import json
import random
from html.parser import HTMLParser

import pytest
from rich.console import Console

from scbench.errors import ScbenchError
from scbench.record import Outcome
from scbench.report import html
from scbench.report.answers import LONGEST
from scbench.report.html import report_sweep
from scbench.report.terminal import render_terminal
from scbench.results.scores import score_sweep
from scbench.results.summary import read_summary
from scbench.results.table import BEST, NEAR, Column, Table
from scbench.results.tables import all_tables, failures_table
from sweep_builder import MIB, answers, cell, write_sweep

HOSTILE = (
    '<script>alert(1)</script> {{ 7*7 }} " onload="x" </td></table> \u202e=1+1 \x00 =HYPERLINK("x") ' + "x" * 1_000_000
)
MLFLOW = "http://127.0.0.1:5000/#/compare-runs"


class Page(HTMLParser):
    """What a browser would find: elements, attributes, the text of table fields, of scripts and of packed data."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.fields, self.summaries, self.scripts = [], [], [], [], []
        self._packed, self._into = {}, None
        self.feed(text)

    def data(self, name):
        return json.loads(gzip.decompress(base64.b64decode(self._packed[f"data-{name}"][-1])))

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        named = dict(attrs)
        texts = {"td": self.fields, "summary": self.summaries}
        if tag == "script":
            self._into = self._packed.setdefault(named["id"], []) if "id" in named else self.scripts
            self._into.append("")
        elif tag in texts:
            self._into = texts[tag]
            self._into.append("")
        elif tag not in ("bdi", "p"):
            self._into = None

    def handle_endtag(self, tag):
        self._into = self._into if tag == "bdi" else None

    def handle_data(self, data):
        if self._into is not None:
            self._into[-1] += data.strip(" \n") if self._into is not self.scripts else data


def made(root):
    cells = {
        "a1": cell(),
        "a2": cell("streaming_llm", budget=0.25),
        "a3": cell(mode="multi_request"),
        "a4": cell(model="$gone_2$"),
    }
    records = [
        answers("a1", "s0", [True, False], stored=8 * MIB, provenance={"weights": "sha256:12"}),
        answers("a1", "s1", [True, True], stored=8 * MIB, provenance={"weights": "sha256:12"}),
        answers("a2", "s0", [False, False], prediction=HOSTILE),
        answers("a2", "s1", [False], outcome=Outcome.TIMEOUT, detail="[red]after 5 s[/red]"),
        answers("a3", "s0", [True, True], stored=8 * MIB),
        answers("a3", "s1", [True, True], stored=8 * MIB),
    ]
    path = write_sweep(root, cells, records, failed={"a4": "model '$gone_2$' is not there"})
    score_sweep(path)
    return path


@pytest.fixture
def manifest(tmp_path):
    return made(tmp_path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    manifest = made(tmp_path_factory.mktemp("results"))
    (manifest.parent / "mlflow.json").write_text(json.dumps({"compare": MLFLOW, "start": "make ui"}))
    return report_sweep(manifest).parent


@pytest.fixture(scope="module")
def page(folder):
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def test_the_page_fetches_nothing_and_runs_its_own_scripts_alone(page):
    (policy,) = [value for name, value in page.attributes if name == "content" and "default-src" in value]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    (script,) = page.scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in rules["script-src"].split()
    assert "unsafe" not in rules["script-src"] and "http" not in policy and "file:" not in policy
    assert "link" not in page.tags and not [name for name, _ in page.attributes if name.startswith("on")]
    sources = [value for name, value in page.attributes if name in ("src", "href", "xlink:href")]
    sources.remove(MLFLOW)  # a link, which is followed where it is clicked
    assert all(value.startswith("#") for value in sources)


def test_every_table_is_there_field_by_field(page, folder):
    fields = "\x1f".join(page.fields)
    for table in all_tables(read_summary(folder / "manifest.json")):
        assert "\x1f".join(text for row in table.texts for text in row) in fields, table.name
        assert table.title in page.summaries or table.name == "failures"
    assert "model '$gone_2$' is not there" in fields and "[red]after 5 s[/red]" in fields


def test_the_front_and_the_provenance_are_there(page):
    first = page.fields.index("dense")
    assert page.fields[first : first + 5] == ["dense", "75.0", "0.0", "8.00", "100.0"]
    assert page.fields[first + 8 : first + 13] == ["streaming_llm (25%)", "0.0", "-75.0", "4.00", "50.0"]
    at = page.fields.index("weights")
    assert page.fields[at : at + 3] == ["weights", "sha256:12", "4"]


def test_answers_and_questions_are_packed_into_the_page(page):
    cells = {cell["id"]: cell for cell in page.data("index")["cells"]}
    assert cells["a2"] == {
        **{"id": "a2", "turns": 3, "source": "src-a2", "dense": "a1", "mode": "multi_turn", "task": "Retr.KV (gen)"},
        **{"model": "tiny", "method": "streaming_llm (25%)", "setting": ""},
    }
    assert cells["a4"]["turns"] == 0
    assert page.data("a1")["prediction"] == ["the-value", "another", "the-value", "the-value"]
    assert page.data("a1")["strict"] == [1.0, 0.0, 1.0, 1.0]
    assert page.data("src-a1")["sessions"]["s1"]["questions"][1] == "question 2 of s1?"
    assert page.data("src-a4") == {"note": "model '$gone_2$' is not there", "sessions": {}}


def test_a_hostile_prediction_is_text(page):
    shown = page.data("a2")["prediction"][0]
    assert shown.startswith(
        '<script>alert(1)</script> {{ 7*7 }} " onload="x" </td></table> \\u202e=1+1 \\x00 =HYPERLINK("x") x'
    )
    assert len(shown) < LONGEST + 100 and shown.endswith(" more characters)")


def test_the_same_sweep_gives_the_same_files_and_old_ones_go(tmp_path):
    manifest = made(tmp_path)
    folder = report_sweep(manifest).parent
    first = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    (folder / "figures" / "old.svg").touch()
    (folder / "report_answers").mkdir()
    (folder / "report_answers" / "old.js").touch()
    report_sweep(manifest)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == first


def test_a_long_table_says_where_the_rest_is_and_marks_stay_in_place(tmp_path, monkeypatch):
    table = Table(
        *("long", "Long", "", (Column("x"), Column("y", 1))),
        tuple((name, float(number)) for number, name in enumerate("abcd")),
        {(1, 1): NEAR, (2, 1): BEST, (3, 1): BEST},
    )
    monkeypatch.setattr(html, "MOST_ROWS", 3)
    monkeypatch.setattr(html, "all_tables", lambda summary: [table, failures_table(summary)])
    text = report_sweep(made(tmp_path)).read_text(encoding="utf-8")
    assert "1 more rows are in <code>tables/long.csv</code>" in text
    places = {name: text.index(f'class="number {name}">') for name in ("near", "best")}
    assert text[places["near"] :].startswith('class="number near">1.0') and text.count("number near") == 1
    assert text[places["best"] :].startswith('class="number best">2.0') and text.count("number best") == 1


def printed(manifest, width):
    text = io.StringIO()
    render_terminal(manifest, Console(file=text, width=width))
    return text.getvalue()


def test_the_terminal_shows_means_outcomes_and_failures(manifest):
    lines = printed(manifest, 140).splitlines()
    assert [line.strip() for line in lines if line.startswith("Cells, ")] == [
        "Cells, multi_turn",
        "Cells, multi_request",
    ]
    (row,) = [line.split() for line in lines if "streaming_llm (25%)" in line]
    assert row == ["Retr.KV", "(gen)", "tiny", "streaming_llm", "(25%)", "0.0", "0.0", "4.00", "50.0", "2", "1"]
    assert "timeout: tiny · streaming_llm · 25% · retr_kv · multi_turn · session s1, turn 0: [red]after 5 s[/red]" in [
        line.strip() for line in lines
    ]
    assert any(line.startswith("failed: $gone_2$") for line in lines)
    assert not any("report.html" in line for line in lines)
    (manifest.parent / "report.html").touch()
    assert any(line.endswith("report.html") for line in printed(manifest, 40).splitlines())


def test_a_narrow_terminal_breaks_no_number(manifest):
    table = printed(manifest, 80).split("Scores in %")[0]
    assert {"75.0", "8.00", "4.00", "50.0", "100.0"} <= set(table.split())


def test_many_failures_do_not_bury_the_table(tmp_path):
    cells = {f"a{i:02}": cell(task_options={"length": i}) for i in range(13)}
    path = write_sweep(tmp_path, cells, [], failed=dict.fromkeys(cells, "no such model"))
    score_sweep(path)
    text = printed(path, 200)
    assert text.count("no such model") == 10
    assert "… and 3 more in " in text


def test_a_sweep_that_was_not_scored_is_an_error(tmp_path):
    with pytest.raises(ScbenchError, match="score the sweep first"):
        report_sweep(write_sweep(tmp_path, {"a1": cell()}, []))


def test_a_sweep_in_which_all_failed_still_has_a_report(tmp_path):
    path = write_sweep(tmp_path, {"a1": cell()}, [], failed={"a1": "no such model"})
    score_sweep(path)
    page = Page(report_sweep(path).read_text(encoding="utf-8"))
    assert "no such model" in page.fields and "n/a" in page.fields


def test_a_score_of_zero_everywhere_is_still_shown(tmp_path):
    path = write_sweep(tmp_path, {"a0": cell()}, [answers("a0", "s0", [False])])
    score_sweep(path)
    (header,) = [line.split() for line in printed(path, 80).splitlines() if " strict " in line]
    assert header[:4] == ["task", "method", "strict", "ref"]


def test_answers_lie_beside_a_page_that_would_be_too_large(tmp_path, monkeypatch):
    """Whatever else takes the room: tables and failures have no limit of their own."""
    cells = {"aa": cell(), "bb": cell("snapkv", budget=0.25)}
    noise = "".join(random.Random(0).choices("0123456789abcdef", k=4000))  # nothing that could be packed
    records = [answers(n, s, [True, False], prediction=noise) for n in cells for s in ("s0", "s1")]
    manifest = write_sweep(tmp_path, cells, records)
    score_sweep(manifest)
    whole = len(report_sweep(manifest).read_bytes())
    assert not (manifest.parent / "report_answers").exists()
    monkeypatch.setattr("scbench.report.shelf.PAGE", whole - 1000)
    assert len(report_sweep(manifest).read_bytes()) <= whole - 1000
    assert list((manifest.parent / "report_answers").glob("*.js"))


def test_a_detail_without_utf8_stops_no_scores(tmp_path):
    failed = answers("aa", "s0", [True, False], outcome=Outcome.ERROR, detail="broken \ud800 text")
    manifest = write_sweep(tmp_path, {"aa": cell()}, [failed], sessions=["s0"])
    score_sweep(manifest)
    assert "broken \\ud800 text" in (manifest.parent / "failures.csv").read_text(encoding="utf-8")
