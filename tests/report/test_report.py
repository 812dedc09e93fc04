import io
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest
from rich.console import Console

from scbench.errors import ScbenchError
from scbench.record import Outcome
from scbench.report.figures import accuracy_against_bytes, to_svg
from scbench.report.html import report_sweep
from scbench.report.terminal import render_terminal
from scbench.results.scores import score_sweep
from scbench.results.summary import read_summary
from sweep_builder import MIB, answers, cell, write_sweep

HOSTILE = '<script>alert(1)</script> {{ 7*7 }} " onload="x" </td></table> \u202e=1+1 \x00 ' + "x" * 5000


class Page(HTMLParser):
    """What a browser would find: the elements, their attributes, and the text of each table field."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.fields = [], [], []
        self._inside = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "td":
            self._inside = True
            self.fields.append("")

    def handle_endtag(self, tag):
        self._inside = self._inside and tag != "td"

    def handle_data(self, data):
        if self._inside:
            self.fields[-1] += data


@pytest.fixture
def manifest(tmp_path):
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
    path = write_sweep(tmp_path, cells, records, failed={"a4": "model '$gone_2$' is not there"})
    score_sweep(path)
    return path


@pytest.fixture
def page(manifest):
    return Page(report_sweep(manifest).read_text(encoding="utf-8"))


def test_the_page_needs_no_network_and_runs_no_script(page):
    assert "script" not in page.tags and "link" not in page.tags
    assert not [value for name, value in page.attributes if name in ("src", "onload")]
    references = [value for name, value in page.attributes if name in ("href", "xlink:href")]
    assert all(value.startswith("#") for value in references)


def test_scores_failures_and_provenance_are_there(page):
    fields = page.fields
    first = fields.index("dense")
    assert fields[first : first + 3] == ["dense", "75.0", "75.0"]
    assert "model '$gone_2$' is not there" in fields
    assert "[red]after 5 s[/red]" in fields
    at = fields.index("weights")
    assert fields[at : at + 3] == ["weights", "sha256:12", "4"]


def test_every_answer_is_listed_with_its_scores(page):
    at = page.fields.index("s0")
    assert page.fields[at : at + 8] == ["s0", "1", "the-value", "the-value", "1.00", "1.00", "ok", ""]
    assert page.fields[at + 8 : at + 14] == ["s0", "2", "another", "the-value", "0.00", "0.00"]


def test_a_hostile_prediction_is_text(page):
    shown = [field for field in page.fields if "alert(1)" in field]
    assert len(shown) == 2
    assert shown[0].startswith('<script>alert(1)</script> {{ 7*7 }} " onload="x" </td></table> \\u202e=1+1 \\x00 x')
    assert len(shown[0]) < 2100


def test_the_same_sweep_gives_the_same_page(manifest):
    first = report_sweep(manifest).read_bytes()
    assert report_sweep(manifest).read_bytes() == first


def test_the_figure_has_a_mark_at_every_mean_and_counts_the_others(manifest):
    turns, requests = accuracy_against_bytes(read_summary(manifest)).axes
    assert [line.get_xydata().tolist() for line in turns.lines] == [[[8.0, 75.0]], [[4.0, 0.0]]]
    assert len({(line.get_color(), line.get_marker()) for line in turns.lines}) == 2
    assert [line.get_xydata().tolist() for line in requests.lines] == [[[8.0, 100.0]]]
    assert turns.get_title() == "Retr.KV (gen), multi_turn (n/a: 1)"


def test_the_figure_is_one_svg_element_with_labels_as_they_are(manifest):
    svg = to_svg(accuracy_against_bytes(read_summary(manifest)))
    assert ET.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
    assert "<!-- $gone_2$ · dense -->" in svg  # no formula was made of it


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
