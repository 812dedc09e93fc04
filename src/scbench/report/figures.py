"""The figure of a sweep: what an answer's score costs in stored key-value bytes."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from typing import Any

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from scbench.results.summary import Row, Summary

# Okabe and Ito's colours, told apart with any colour vision; the marker says it again, for print in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
PANELS_PER_LINE = 4
STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "text.parse_math": False,  # a "$" in a label is a "$"
    "svg.hashsalt": "scbench",  # the same sweep gives the same file
}


def to_svg(figure: Figure) -> str:
    """The figure as an SVG element, the same text for the same figure; labels are escaped."""
    text = io.StringIO()
    with matplotlib.rc_context(STYLE):
        FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]


def accuracy_against_bytes(summary: Summary) -> Figure:
    """Strict score (%) against stored KV (MiB): a panel per mode and task, a mark per method.

    A method without a mean in a cell has no mark there; the panel's title counts them.
    """
    titles = {mode: list(summary.titles(mode)) for mode in summary.modes}
    series = dict.fromkeys(row for mode in summary.modes for row in summary.rows(mode))
    styles: dict[Row, dict[str, Any]] = {
        row: {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)]}
        for index, row in enumerate(series)
    }
    across = min(PANELS_PER_LINE, max(map(len, titles.values())))
    lines = {mode: math.ceil(len(names) / across) for mode, names in titles.items()}
    down = sum(lines.values())
    with matplotlib.rc_context(STYLE):
        size = (2.9 * across, 2.5 * down + 0.3 + 0.2 * len(series))
        figure = Figure(figsize=size, layout="constrained")
        first = 1
        for mode, names in titles.items():
            for index, title in enumerate(names, start=first):
                _panel(figure.add_subplot(down, across, index), summary, mode, title, styles)
            first += across * lines[mode]  # every mode starts a new line
        marks = [
            Line2D([], [], linestyle="none", label=" · ".join(filter(None, row)), **style)
            for row, style in styles.items()
        ]
        figure.legend(handles=marks, loc="outside lower center", ncols=1, frameon=False)
    return figure


def _panel(axes: Any, summary: Summary, mode: str, title: str, styles: Mapping[Row, Mapping[str, Any]]) -> None:
    points = {
        row: (summary.mean(cells.get(title), "kv_stored"), summary.mean(cells.get(title), "strict"))
        for row, cells in summary.rows(mode).items()
    }
    there = {row: point for row, point in points.items() if not any(map(math.isnan, point))}
    for row, point in there.items():
        axes.plot(*point, linestyle="none", markersize=8, alpha=0.9, **styles[row])
    absent = f" (n/a: {len(points) - len(there)})" if len(there) < len(points) else ""
    axes.set_title(f"{title}, {mode}{absent}", fontsize=9)
    axes.set_xlim(0, 1.1 * max((stored for stored, _ in there.values()), default=1))
    axes.set_ylim(-5, 105)
    axes.set_xlabel("stored KV, MiB")
    axes.set_ylabel("strict, %")
