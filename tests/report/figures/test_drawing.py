import json
import xml.etree.ElementTree as ET
from math import nan

import pytest

from scbench.report.figures.chart import Axis, Bars, Grid, Heat, Lines, Panel, Part, Point, Series, Stacks, Style
from scbench.report.figures.interactive import spec
from scbench.report.figures.static import draw, save

HOSTILE = "<script>alert(1)</script> $x_2$ & \u202e=1"
SERIES = (
    Series("dense", Style("#0072B2", "circle", "solid"), (Point(8, 50, "dense"),)),
    Series(HOSTILE, Style("#D55E00", "square", "dash"), (Point(2, 25, "a"), Point(4, 75, HOSTILE))),
    Series("front", Style("#888888", None, "dot"), (Point(2, 25), Point(4, 75))),
)
LINES = Lines("lines", "Lines", "", Axis("x", low=0), Axis("y"), (Panel("one", SERIES), Panel(HOSTILE, SERIES[:1])))
NAMED = Lines("named", "Named", "", Axis("x", ticks=("25%", HOSTILE)), Axis("y"), (Panel("one", SERIES[:1]),))
LOGS = Lines("logs", "Logs", "", Axis("x", log=True), Axis("y", low=-5, high=105), (Panel("one", SERIES),))
STACKS = Stacks(
    *("stacks", "Stacks", "", Axis("seconds", low=0)),
    (Bars("one", ("dense", HOSTILE), (Part("prefill", (2.0, 1.0)), Part(HOSTILE, (nan, 0.5)))),),
)
HEAT = Heat("heat", "Heat", "", "%", 0, 100, (Grid("one", ("dense", HOSTILE), ("a", "b"), ((1.0, nan), (99.0, 50.0))),))
CHARTS = [LINES, NAMED, LOGS, STACKS, HEAT]


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.name)
def test_a_chart_is_saved_as_vectors_the_same_every_time(chart, tmp_path):
    svg = save(chart, tmp_path)
    root = ET.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(files) == {f"{chart.name}.svg", f"{chart.name}.pdf"}
    assert files[f"{chart.name}.pdf"].startswith(b"%PDF")
    assert save(chart, tmp_path) == svg
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files
    if chart is not LOGS:
        texts = ["".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text")]
        assert any(HOSTILE.replace("\u202e", "\\u202e") in " ".join(texts[at : at + 3]) for at in range(len(texts)))


def test_lines_for_paper_have_their_points_and_looks():
    first, second = draw(LINES).axes
    assert [line.get_xydata().tolist() for line in first.lines] == [
        [[8.0, 50.0]],
        [[2.0, 25.0], [4.0, 75.0]],
        [[2.0, 25.0], [4.0, 75.0]],
    ]
    assert [(line.get_color(), line.get_marker(), line.get_linestyle()) for line in first.lines] == [
        ("#0072B2", "o", "-"),
        ("#D55E00", "s", "--"),
        ("#888888", "None", ":"),
    ]
    assert first.get_xlim()[0] == 0 and len(second.lines) == 1


def test_bars_for_paper_stand_on_each_other():
    (axes,) = draw(STACKS).axes
    assert [(bar.get_x(), bar.get_width()) for bar in axes.patches] == [(0, 2), (0, 1), (2, 0), (1, 0.5)]


def test_a_grid_for_paper_says_its_numbers():
    axes = draw(HEAT).axes[0]
    assert [text.get_text() for text in axes.texts] == ["1", "n/a", "99", "50"]


def texts(value):
    """All texts in plain data."""
    if isinstance(value, dict):
        return [text for part in value.values() for text in texts(part)]
    if isinstance(value, list):
        return [text for part in value for text in texts(part)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.name)
def test_a_chart_for_the_screen_is_plain_and_has_no_markup_of_others(chart):
    made = spec(chart)
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    assert len(made["panels"]) == len(made["heights"]) == len(made["y"]) == len(chart.panels)
    assert not [text for text in texts(made) if "<script" in text or "\u202e" in text]


def test_lines_for_the_screen_have_their_points_and_one_legend_entry_per_name():
    traces = spec(LINES)["traces"]
    assert [(trace["x"], trace["y"]) for trace in traces] == [
        ([8], [50]),
        ([2, 4], [25, 75]),
        ([2, 4], [25, 75]),
        ([8], [50]),
    ]
    assert [trace["showlegend"] for trace in traces] == [True, True, True, False]
    assert [trace["xaxis"] for trace in traces] == ["x", "x", "x", "x2"]
    assert traces[1]["text"][1] == "&lt;script&gt;alert(1)&lt;/script&gt; $x_2$ &amp; \\u202e=1"


def test_what_is_not_there_is_a_gap_on_the_screen():
    assert [trace["x"] for trace in spec(STACKS)["traces"]] == [[2.0, 1.0], [None, 0.5]]
    (heat,) = spec(HEAT)["traces"]
    assert heat["z"] == [[1.0, None], [99.0, 50.0]] and heat["text"][0][1] == "n/a"


def test_a_logarithmic_axis_names_its_points():
    assert spec(LOGS)["x"]["tickvals"] == [2, 4, 8]
