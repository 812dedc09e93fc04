"""Charts for paper: drawn by matplotlib, saved as SVG, PDF and PNG."""

from __future__ import annotations

import io
import math
import textwrap
from functools import singledispatch
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from scbench.report.figures.chart import Axis, Bars, Chart, Grid, Heat, Lines, Panel, Stacks, Style
from scbench.report.figures.style import COLOURS, MISSING
from scbench.report.text import visible
from scbench.results.files import write_bytes_atomic

PANELS_PER_LINE = 4
MARKERS = {
    "circle": "o",
    "square": "s",
    "triangle-up": "^",
    "diamond": "D",
    "triangle-down": "v",
    "cross": "P",
    "x": "X",
    "star": "*",
}
DASHES = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}
HATCHES = ("", "///", "...", "\\\\\\", "xxx", "---", "ooo", "|||")
LOOK = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "hatch.linewidth": 0.5,
    "text.parse_math": False,  # a "$" in a label is a "$"
    "svg.fonttype": "none",  # text stays text: it can be read aloud, found and copied
    "svg.hashsalt": "scbench",  # the same sweep gives the same file
}


def save(figure: Figure, name: str, folder: Path) -> list[Path]:
    """Write `<name>.svg`, `.pdf` and `.png`, the same bytes for the same figure; gives their paths."""
    files = {
        folder / f"{name}.svg": to_svg(figure).encode("utf-8"),
        folder / f"{name}.pdf": _printed(figure, "pdf", {"CreationDate": None}),
        folder / f"{name}.png": _printed(figure, "png", {}),
    }
    for path, content in files.items():
        write_bytes_atomic(path, content)
    return list(files)


def to_svg(figure: Figure) -> str:
    """The figure as an SVG element; labels are escaped."""
    svg = _printed(figure, "svg", {"Date": None}).decode("utf-8")
    return svg[svg.index("<svg") :]


def _printed(figure: Figure, kind: str, metadata: dict[str, None]) -> bytes:
    content = io.BytesIO()
    with matplotlib.rc_context(LOOK):
        figure.savefig(content, format=kind, dpi=150, metadata=metadata)
    return content.getvalue()


@singledispatch
def draw(chart: Chart) -> Figure:
    """The chart as a figure of matplotlib."""
    raise TypeError(f"there is no drawing of {type(chart).__name__}")


@draw.register
def _(chart: Lines) -> Figure:
    across, down = _layout(len(chart.panels), PANELS_PER_LINE)
    looks = {series.name: series.style for panel in chart.panels for series in panel.series}
    columns = max(1, min(across, 140 // (8 + max(map(len, looks)))))
    with matplotlib.rc_context(LOOK):
        size = (max(4.5, 2.9 * across), 2.5 * down + 0.3 + 0.2 * math.ceil(len(looks) / columns))
        figure = Figure(figsize=size, layout="constrained")
        for number, panel in enumerate(chart.panels, 1):
            _lines(figure.add_subplot(down, across, number), chart, panel)
        handles = [Line2D([], [], label=visible(name), **_line(look)) for name, look in looks.items()]
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)
    return figure


@draw.register
def _(chart: Stacks) -> Figure:
    names = [part.name for part in chart.panels[0].parts]
    rows = [len(panel.rows) for panel in chart.panels]
    with matplotlib.rc_context(LOOK):
        size = (8.0, sum(0.9 + 0.24 * count for count in rows) + 0.6)
        figure = Figure(figsize=size, layout="constrained")
        ratios = [0.9 + 0.24 * count for count in rows]
        plots = figure.subplots(len(rows), 1, squeeze=False, gridspec_kw={"height_ratios": ratios})[:, 0]
        for axes, panel in zip(plots, chart.panels, strict=True):
            _stacks(axes, chart, panel)
        handles = [Patch(label=visible(name), **_fill(index)) for index, name in enumerate(names)]
        figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(names)), frameon=False)
    return figure


@draw.register
def _(chart: Heat) -> Figure:
    widest = max(len(panel.columns) for panel in chart.panels)
    label = max(len(row) for panel in chart.panels for row in panel.rows)
    heights = [1.4 + 0.24 * len(panel.rows) for panel in chart.panels]
    with matplotlib.rc_context(LOOK):
        figure = Figure(figsize=(1.6 + 0.07 * label + 0.62 * widest, sum(heights)), layout="constrained")
        plots = figure.subplots(len(heights), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
        for axes, panel in zip(plots, chart.panels, strict=True):
            image = _grid(axes, chart, panel)
        figure.colorbar(image, ax=list(plots), label=chart.unit, fraction=0.04, pad=0.02)
    return figure


def _layout(count: int, most: int) -> tuple[int, int]:
    across = min(most, count)
    return across, math.ceil(count / across)


def _lines(axes: Any, chart: Lines, panel: Panel) -> None:
    for series in panel.series:
        axes.plot(
            [point.x for point in series.points],
            [point.y for point in series.points],
            label=visible(series.name),
            **_line(series.style),
        )
    axes.set_title("\n".join(textwrap.wrap(visible(panel.title), 34)), fontsize=9)
    axes.grid(visible=True)
    _scale(axes.xaxis, axes.set_xlim, chart.x, [point.x for series in panel.series for point in series.points])
    _scale(axes.yaxis, axes.set_ylim, chart.y, [point.y for series in panel.series for point in series.points])
    if chart.x.log:
        axes.set_xscale("log")
        axes.set_xticks(sorted({point.x for series in panel.series for point in series.points}))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()


def _scale(axis: Any, limit: Any, wanted: Axis, values: list[float]) -> None:
    axis.set_label_text(wanted.title)
    if wanted.ticks:
        axis.set_ticks(range(len(wanted.ticks)), [visible(tick) for tick in wanted.ticks], rotation=30, ha="right")
        limit(-0.5, len(wanted.ticks) - 0.5)
    elif wanted.low is not None:
        limit(wanted.low, wanted.high if wanted.high is not None else 1.08 * max((*values, 1e-9)))


def _line(style: Style) -> dict[str, Any]:
    marker = MARKERS[style.marker] if style.marker else None
    return {
        "color": style.colour,
        "marker": marker,
        "linestyle": DASHES[style.dash],
        "markersize": 6,
        "linewidth": 1.2,
        "alpha": 0.9,
    }


def _stacks(axes: Any, chart: Stacks, panel: Bars) -> None:
    ends = [0.0] * len(panel.rows)
    for index, part in enumerate(panel.parts):
        values = [0.0 if math.isnan(value) else value for value in part.values]
        axes.barh(range(len(ends)), values, left=ends, height=0.7, **_fill(index))
        ends = [end + value for end, value in zip(ends, values, strict=True)]
    axes.set_yticks(range(len(ends)), [visible(row) for row in panel.rows])
    axes.invert_yaxis()
    axes.set_title(visible(panel.title), fontsize=9)
    axes.set_xlabel(chart.x.title)
    axes.grid(visible=True, axis="x")


def _fill(index: int) -> dict[str, Any]:
    hatch = HATCHES[index % len(HATCHES)]
    return {"facecolor": COLOURS[index % len(COLOURS)], "hatch": hatch, "edgecolor": "white", "linewidth": 0.5}


def _grid(axes: Any, chart: Heat, panel: Grid) -> Any:
    axes.set_facecolor(MISSING)
    image = axes.imshow(panel.values, vmin=chart.low, vmax=chart.high, cmap="cividis", aspect="auto")
    middle = (chart.low + chart.high) / 2
    for y, line in enumerate(panel.values):
        for x, value in enumerate(line):
            text = "n/a" if math.isnan(value) else f"{value:.0f}"
            colour = "#666666" if math.isnan(value) else "black" if value > middle else "white"
            axes.text(x, y, text, ha="center", va="center", fontsize=7, color=colour)
    axes.set_xticks(range(len(panel.columns)), [visible(name) for name in panel.columns], rotation=30, ha="right")
    axes.set_yticks(range(len(panel.rows)), [visible(name) for name in panel.rows])
    axes.set_title(visible(panel.title), fontsize=9)
    return image
