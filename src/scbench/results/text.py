"""Model output as visible text: nothing in it may hide, reorder or swamp what stands around it."""

from __future__ import annotations

import unicodedata

LONGEST = 2000


def visible(text: str) -> str:
    """The text with invisible characters as escapes (`\\x00`, `\\u202e`), cut after `LONGEST` characters.

    Line ends and tabs stay. Controls, direction marks, unassigned characters and lone surrogates are what
    Unicode calls `Other`; joiners between emoji are escaped too.
    """
    shown = "".join(_escaped(character) for character in text[:LONGEST])
    rest = len(text) - LONGEST
    return f"{shown} … ({rest} more characters)" if rest > 0 else shown


def _escaped(character: str) -> str:
    hidden = unicodedata.category(character).startswith("C") and character not in "\n\t"
    return ascii(character)[1:-1] if hidden else character
