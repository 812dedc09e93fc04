"""The parts of a text that can be taken out whole while the answers stay."""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise

from scbench.tasks.base import Group
from scbench.tasks.shrink import Span, separated

MARGIN = re.compile(r"\n\n(?=[^\s)\]}])")  # before a line at the margin, after an empty line


def blocks(text: str, starts: Iterable[int]) -> list[Span]:
    """The parts of a text that start at these places, without the blanks around them; the text before is one too."""
    edges = sorted({0, *starts, len(text)})
    parts = ((start, text[start:stop]) for start, stop in pairwise(edges))
    return [
        (start + len(part) - len(part.lstrip("\n")), start + len(part.rstrip()))
        for start, part in parts
        if part.strip()
    ]


def code_blocks(text: str) -> list[Span]:
    """The parts of code that start at the margin after an empty line."""
    return blocks(text, (match.end() for match in MARGIN.finditer(text)))


def holding(text: str, parts: Sequence[Span], answers: Iterable[str]) -> set[int]:
    """The places of the parts in which an answer stands, or a piece of it, wherever it stands."""
    found = [match.span() for answer in answers for match in re.finditer(re.escape(answer), text)]
    return {
        place for place, (start, stop) in enumerate(parts) if any(start < end and begin < stop for begin, end in found)
    }


def removable(parts: Sequence[Span], kept: Collection[int], *names: object) -> list[Group]:
    """The parts that may go, each with a separator, in an order that the names decide; none where none must stay."""
    groups: list[Group] = [(span,) for span in separated(parts, kept).values()]
    random.Random(f"drop/{names}").shuffle(groups)
    return groups
