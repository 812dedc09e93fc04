"""Self-information: how much each token of a text surprises the model that will read it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from scbench.methods.base import Reader
from scbench.methods.generation.shortening import Piece

_EAST_ASIA = "\u2e80"  # from here on lie the scripts that put no blanks between words
_CUT = "\ufffd"  # what a token decodes to that ends inside a character


def surprising(text: str, forced: Sequence[str], reader: Reader) -> list[Piece]:
    """The model's tokens of a text, scored by their surprisal (Selective Context, arXiv 2310.06201, §3).

    A token is forced if it holds a part of a forced text. It begins a word unless it goes on with a letter or digit
    right behind another token's; where scripts have no blanks, every token is a word.
    """
    ids = reader.encode(text)
    scores = reader.surprisal(ids).tolist()
    parts = list(_texts(ids, reader))
    marks = _marked("".join(part for _, _, part in parts), forced)
    pieces: list[Piece] = []
    at = 0
    for start, stop, part in parts:
        before = pieces[-1].text[-1:] if pieces else ""
        goes_on = part[:1].isalnum() and part[:1] < _EAST_ASIA and not before.isspace()
        pieces.append(Piece(part, tuple(scores[start:stop]), not goes_on, any(marks[at : at + len(part)])))
        at += len(part)
    return pieces


def _texts(ids: Sequence[int], reader: Reader) -> Iterator[tuple[int, int, str]]:
    """The texts of tokens [start, stop): one each, but several where a character has several.

    Each is what the tokens add to the ones before, since some tokenizers drop the blank at the start of a text.
    """
    before, start = 0, 0
    for stop in range(1, len(ids) + 1):
        known, text = reader.decode(ids[before:start]), reader.decode(ids[before:stop])
        if text.endswith(_CUT) and stop < len(ids):
            continue
        yield start, stop, text[len(known) :]
        before, start = start, stop


def _marked(text: str, forced: Iterable[str]) -> bytearray:
    """Per character, whether it is part of a forced text."""
    marks = bytearray(len(text))
    for wanted in forced:
        for found in re.finditer(re.escape(wanted), text):
            marks[found.start() : found.end()] = b"\1" * len(wanted)
    return marks
