"""Charts for the screen, as plain data that Plotly's script draws: hover, zoom, series to switch on and off."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator
from functools import singledispatch
from typing import Any

from scbench.report.figures.chart import Axis, Bars, Chart, Heat, Lines, Series, Stacks
from scbench.report.figures.style import COLOURS, MISSING
from scbench.results.text import visible

PATTERNS = ("", "/", ".", "\\", "x", "-", "+", "|")
TICKS = 8
Plain = dict[str, Any]


@singledispatch
def spec(chart: Chart) -> Plain:
    """The traces, axes and panel titles of a chart.

    `panels` are the titles in order, `width` and `heights` the least width and the height of a panel in pixels: the
    page puts as many beside each other as fit.
    """
    raise TypeError(f"there is no interactive form of {type(chart).__name__}")


@spec.register
def _(chart: Lines) -> Plain:
    seen: set[str] = set()
    traces = []
    for number, panel in enumerate(chart.panels, 1):
        for series in panel.series:
            shown = {
                "name": _text(series.name),
                "legendgroup": _text(series.name),
                "showlegend": series.name not in seen,
            }
            traces.append(_trace(chart, series) | shown | _axes(number))
            seen.add(series.name)
    return {
        "traces": traces,
        "x": _axis(chart.x) | _steps(chart),
        "y": [_axis(chart.y) for _ in chart.panels],
        "panels": [_text(panel.title) for panel in chart.panels],
        "width": 280,
        "heights": [250 for _ in chart.panels],
    }


@spec.register
def _(chart: Stacks) -> Plain:
    return {
        "traces": [trace for number, panel in enumerate(chart.panels, 1) for trace in _bars(panel, number)],
        "x": _axis(chart.x),
        "y": [
            {
                "tickvals": list(range(len(panel.rows))),
                "ticktext": list(map(_text, panel.rows)),
                "autorange": "reversed",
            }
            for panel in chart.panels
        ],
        "panels": [_text(panel.title) for panel in chart.panels],
        "width": 100_000,
        "heights": [90 + 24 * len(panel.rows) for panel in chart.panels],
        "barmode": "stack",
    }


@spec.register
def _(chart: Heat) -> Plain:
    traces = [
        {
            "type": "heatmap",
            "x": list(map(_text, panel.columns)),
            "y": list(range(len(panel.rows))),
            "z": [[_number(value) for value in line] for line in panel.values],
            "text": [["n/a" if math.isnan(value) else f"{value:.1f}" for value in line] for line in panel.values],
            "customdata": [[_text(row)] * len(panel.columns) for row in panel.rows],
            "texttemplate": "%{text}",
            "hovertemplate": f"<b>%{{customdata}}</b><br>%{{x}}<br>{_text(chart.unit)}: %{{text}}<extra></extra>",
            "hoverongaps": False,
            "zmin": chart.low,
            "zmax": chart.high,
            "colorscale": "Cividis",
            "showscale": number == 1,
            "colorbar": {"title": {"text": _text(chart.unit), "side": "right"}, "thickness": 12},
            "xgap": 1,
            "ygap": 1,
        }
        | _axes(number)
        for number, panel in enumerate(chart.panels, 1)
    ]
    return {
        "traces": traces,
        "x": {"tickangle": -30, "automargin": True},
        "y": [
            {
                "tickvals": list(range(len(panel.rows))),
                "ticktext": list(map(_text, panel.rows)),
                "autorange": "reversed",
            }
            for panel in chart.panels
        ],
        "panels": [_text(panel.title) for panel in chart.panels],
        "width": 100_000,
        "heights": [150 + 24 * len(panel.rows) for panel in chart.panels],
        "background": MISSING,
    }


def _trace(chart: Lines, series: Series) -> Plain:
    style = series.style
    return {
        "type": "scatter",
        "mode": "lines+markers" if style.marker else "lines",
        "x": [point.x for point in series.points],
        "y": [point.y for point in series.points],
        "text": [_text(point.text or series.name) for point in series.points],
        "hovertemplate": f"<b>%{{text}}</b><br>{_text(chart.x.title)}: %{{x}}<br>{_text(chart.y.title)}: %{{y:.4g}}"
        "<extra></extra>",
        "marker": {"symbol": style.marker or "circle", "size": 9, "color": style.colour},
        "line": {"color": style.colour, "dash": style.dash, "width": 1.5},
        "opacity": 0.9,
    } | _bounds(series)


def _bounds(series: Series) -> Plain:
    """Bars of intervals, where some point has one."""
    if all(math.isnan(point.low) for point in series.points):
        return {}
    above, below = (
        [_number(side) for side in sides]
        for sides in zip(*((p.high - p.y, p.y - p.low) for p in series.points), strict=True)
    )
    return {
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": above,
            "arrayminus": below,
            "color": series.style.colour,
            "thickness": 1,
            "width": 3,
        }
    }


def _bars(panel: Bars, number: int) -> Iterator[Plain]:
    for index, part in enumerate(panel.parts):
        yield {
            "type": "bar",
            "orientation": "h",
            "name": _text(part.name),
            "legendgroup": _text(part.name),
            "showlegend": number == 1,
            "x": [_number(value) for value in part.values],
            "y": list(range(len(panel.rows))),
            "text": list(map(_text, panel.rows)),
            "textposition": "none",
            "hovertemplate": f"<b>%{{text}}</b><br>{_text(part.name)}: %{{x:.4g}} s<extra></extra>",
            "marker": {
                "color": COLOURS[index % len(COLOURS)],
                "pattern": {"shape": PATTERNS[index % len(PATTERNS)], "solidity": 0.15, "fillmode": "overlay"},
            },
        } | _axes(number)


def _axis(axis: Axis) -> Plain:
    made: Plain = {"title": {"text": _text(axis.title), "standoff": 4}}
    if axis.ticks:
        made |= {"tickvals": list(range(len(axis.ticks))), "ticktext": list(map(_text, axis.ticks))}
        made["range"] = [-0.5, len(axis.ticks) - 0.5]
    elif axis.high is not None:
        made["range"] = [axis.low, axis.high]
    elif axis.low == 0:
        made["rangemode"] = "tozero"
    return made


def _steps(chart: Lines) -> Plain:
    """Where the horizontal axis has its ticks, if not where Plotly would put them."""
    xs = {point.x for panel in chart.panels for series in panel.series for point in series.points}
    if chart.x.log:
        return {"type": "log", "tickvals": sorted(xs), "ticktext": [f"{x:g}" for x in sorted(xs)]}
    return {"dtick": max(1, math.ceil(max(xs) / TICKS))} if chart.x.whole else {}


def _axes(number: int) -> Plain:
    """The names of a panel's axes: `x`, `x2`, …"""
    return {"xaxis": "x" if number == 1 else f"x{number}", "yaxis": "y" if number == 1 else f"y{number}"}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _text(text: str) -> str:
    """A text in which Plotly finds no markup of its own."""
    return html.escape(visible(text), quote=False)
