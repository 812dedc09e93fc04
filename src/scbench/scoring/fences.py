"""Fenced blocks of code in a model's text."""

from __future__ import annotations

import re

# Possessive where backtracking could not find another match, so that no text takes more than linear time.
_REF = re.compile(r"^```\w*+(?:[^\S\n]*+\n)++(.*?)^```", re.DOTALL | re.MULTILINE)
_ANY = re.compile(r"^[^\S\n]*+```[^\n`]*+\n(.*?)(?:^[^\S\n]*+```|\Z)", re.DOTALL | re.MULTILINE)


def ref_blocks(text: str) -> list[str]:
    """The blocks that the original sees: fences at the start of a line, one word of info at most, closed."""
    return _REF.findall(text.strip())


def blocks(text: str) -> list[str]:
    """All blocks, also indented ones, those with any info string and a last one that is not closed."""
    return _ANY.findall(text)
