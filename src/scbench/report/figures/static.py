"""Charts for paper: drawn by matplotlib, saved as SVG and PDF."""

from __future__ import annotations

import io
import math
import textwrap
from functools import singledispatch
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from scbench.report.figures.chart import Axis, Bars, Chart, Grid, Heat, Lines, Panel, Stacks, Style
from scbench.report.figures.style import COLOURS, MISSING
from scbench.results.files import write_bytes_atomic, write_text_atomic
from scbench.results.text import visible

PANELS_PER_LINE = 4
WIDTH, HEIGHT = 2.9, 2.6  # of a panel with its labels, in inches
LEFT, BOTTOM, TOP = 0.6, 0.65, 0.4
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


def save(chart: Chart, folder: Path) -> str:
    """Write `<name>.svg` and `<name>.pdf`, the same bytes for the same chart; gives the SVG, one element."""
    figure = draw(chart)
    with matplotlib.rc_context(LOOK):
        svg, pdf = io.StringIO(), io.BytesIO()
        # Straight to the formats: `savefig` draws everything once more for each.
        FigureCanvasSVG(figure).print_svg(svg, metadata={"Date": None})
        FigureCanvasPdf(figure).print_pdf(pdf, metadata={"CreationDate": None})
    text = svg.getvalue()
    element = text[text.index("<svg") :]
    write_text_atomic(folder / f"{chart.name}.svg", element)
    write_bytes_atomic(folder / f"{chart.name}.pdf", pdf.getvalue())
    return element


@singledispatch
def draw(chart: Chart) -> Figure:
    """The chart as a figure of matplotlib."""
    raise TypeError(f"there is no drawing of {type(chart).__name__}")


@draw.register
def _(chart: Lines) -> Figure:
    looks = {series.name: series.style for panel in chart.panels for series in panel.series}
    across = min(PANELS_PER_LINE, len(chart.panels))
    down = math.ceil(len(chart.panels) / across)
    wide = max(4.5, WIDTH * across)
    columns = max(1, int(wide * 10) // (6 + max(map(len, looks))))
    below = 0.25 + 0.19 * math.ceil(len(looks) / columns)
    tall = HEIGHT * down + below
    with matplotlib.rc_context(LOOK):
        # Places are set by hand: to have them found takes seconds per figure where panels are many.
        figure = Figure(figsize=(wide, tall))
        for number, panel in enumerate(chart.panels):
            left = (number % across) * WIDTH + LEFT
            bottom = tall - (number // across + 1) * HEIGHT + BOTTOM
            place = (left / wide, bottom / tall, (WIDTH - LEFT - 0.1) / wide, (HEIGHT - BOTTOM - TOP) / tall)
            _lines(figure.add_axes(place), chart, panel)
        handles = [Line2D([], [], label=visible(name), **_line(look)) for name, look in looks.items()]
        figure.legend(handles=handles, loc="lower left", ncols=columns, frameon=False)
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


def _lines(axes: Any, chart: Lines, panel: Panel) -> None:
    for series in panel.series:
        axes.plot(
            [point.x for point in series.points],
            [point.y for point in series.points],
            label=visible(series.name),
            **_line(series.style),
        )
        sure = [point for point in series.points if not math.isnan(point.low)]
        if sure:
            axes.errorbar(
                [point.x for point in sure],
                [point.y for point in sure],
                yerr=[[point.y - point.low for point in sure], [point.high - point.y for point in sure]],
                fmt="none",
                ecolor=series.style.colour,
                elinewidth=0.8,
                capsize=2,
                alpha=0.7,
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
    if wanted.whole:
        axis.set_major_locator(MaxNLocator(5, integer=True))
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
