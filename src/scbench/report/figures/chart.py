"""A chart as data: what a figure says, before anyone draws it."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan


@dataclass(frozen=True)
class Style:
    """How a series looks: a colour, and for print in grey a marker and a dash; no marker is a plain line."""

    colour: str
    marker: str | None
    dash: str


@dataclass(frozen=True)
class Axis:
    """`ticks` name the positions 0, 1, …; without them the axis is one of numbers, from `low` to `high` if given.

    `whole`: of counts, with nothing between two of them.
    """

    title: str
    ticks: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    log: bool = False
    whole: bool = False


@dataclass(frozen=True)
class Point:
    """One mark; `text` is what it is, for who points at it; `low` and `high` bound its interval, NaN without one."""

    x: float
    y: float
    text: str = ""
    low: float = nan
    high: float = nan


@dataclass(frozen=True)
class Series:
    """Points in drawing order, joined by a line; series of one name share a style and an entry of the legend."""

    name: str
    style: Style
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Panel:
    """One pair of axes."""

    title: str
    series: tuple[Series, ...]


@dataclass(frozen=True)
class Chart:
    """`name` is the file's stem, `note` says how to read it."""

    name: str
    title: str
    note: str


@dataclass(frozen=True)
class Lines(Chart):
    """Small panels of marks and lines over the same kinds of axes."""

    x: Axis
    y: Axis
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Part:
    """One part of every bar, in the order of the bars; NaN where a bar has no such part."""

    name: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Bars:
    """Stacked horizontal bars; all `Bars` of a chart have parts of the same names."""

    title: str
    rows: tuple[str, ...]
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Stacks(Chart):
    """Panels of stacked bars."""

    x: Axis
    panels: tuple[Bars, ...]


@dataclass(frozen=True)
class Grid:
    """Values by row, then column; NaN is n/a."""

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Heat(Chart):
    """Panels of grids whose values have one scale, from `low` to `high`."""

    unit: str
    low: float
    high: float
    panels: tuple[Grid, ...]
