"""Colours, markers and dashes that anyone can tell apart, also in print in grey."""

from __future__ import annotations

from collections.abc import Iterable

from scbench.report.figures.chart import Style

# Okabe and Ito's colours, told apart with any colour vision; the marker says it again. Yellow is too pale on paper.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x", "star")
DASHES = ("solid", "dash", "dot", "dashdot")
FRONT = Style("#888888", None, "dot")
MISSING = "#eeeeee"


def styles(families: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Style]:
    """A style for each (method, variant): methods differ in colour and marker, the variants of one in dashes.

    Seven colours and eight markers have no common divisor: 56 methods look different.
    """
    seen: dict[str, dict[str, None]] = {}
    for method, variant in families:
        seen.setdefault(method, {}).setdefault(variant)
    return {
        (method, variant): Style(
            COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)], DASHES[place % len(DASHES)]
        )
        for index, (method, variants) in enumerate(seen.items())
        for place, variant in enumerate(variants)
    }
