"""Model output as visible text: nothing in it may hide, reorder or swamp what stands around it."""

from __future__ import annotations

import re
import unicodedata

LONGEST = 2000


def visible(text: str, longest: int = LONGEST) -> str:
    """The text with invisible characters as escapes (`\\x00`, `\\u202e`), cut after `longest` characters.

    Line ends and tabs stay. Controls, direction marks, unassigned characters and lone surrogates are what
    Unicode calls `Other`; joiners between emoji are escaped too, and so are Unicode's separators of lines and
    paragraphs, which some programs break a line at.
    """
    shown = "".join(line if line.isprintable() else "".join(map(_escaped, line)) for line in _lines(text[:longest]))
    rest = len(text) - longest
    return f"{shown} … ({rest} more characters)" if rest > 0 else shown


def _lines(text: str) -> list[str]:
    """The text in pieces: most have nothing to escape, and are looked at as a whole."""
    return re.split("(\n)", text)


def _escaped(character: str) -> str:
    kind = unicodedata.category(character)
    hidden = (kind.startswith("C") or kind in ("Zl", "Zp")) and character not in "\n\t"
    return ascii(character)[1:-1] if hidden else character
