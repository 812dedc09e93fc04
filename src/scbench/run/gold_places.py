"""Where the right answers stand among a context's tokens."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator

from scbench.modes import Places, Tokens
from scbench.prompts.dialogue import Dialogue
from scbench.prompts.templates import answer_text
from scbench.tasks.session import Answer, Session

LEAST = 32  # tokens of a piece that is read at once
Text = Callable[[Tokens], str]


def gold_places(session: Session, dialogue: Dialogue, text: Text) -> tuple[Places, ...]:
    """Per turn and text of its answer, every interval [start, stop) of the dialogue's context that holds it.

    `text` reads tokens; what the chat template says is not looked at. Texts that the session's context does not have
    are left out (a summary, say), and so are single letters, which name an option. The tokens at the ends of an
    interval may hold more than the answer.
    """
    finder = _Finder(dialogue.context, max((stop for _, stop in dialogue.protected), default=0), text)
    return tuple(
        tuple(places for part in _texts(turn.answer) if part in session.context and (places := finder.find(part)))
        for turn in session.turns
    )


def _texts(answer: Answer) -> tuple[str, ...]:
    parts = answer if isinstance(answer, tuple) else (answer_text(answer),)
    return tuple(part for part in parts if not re.fullmatch(r"[A-Za-z]?", part))


class _Finder:
    """Finds texts in the tokens from `begin` on, which are read in overlapping pieces once per size of piece."""

    def __init__(self, ids: Tokens, begin: int, text: Text) -> None:
        self._ids = ids
        self._begin = begin
        self._text = text
        self._pieces: dict[int, list[tuple[int, str]]] = {}

    def find(self, wanted: str) -> tuple[tuple[int, int], ...]:
        """The shortest intervals of tokens that hold the text, not as a part of a longer word or number."""
        step = LEAST
        while step < len(wanted.encode()) + 2:  # a token holds a byte at least, so that a piece holds the whole text
            step *= 2
        if step not in self._pieces:
            starts = range(self._begin, len(self._ids), step)
            self._pieces[step] = [(start, self._text(self._ids[start : start + 2 * step])) for start in starts]
        pattern = re.compile(_whole(wanted))
        found = {
            place
            for start, piece in self._pieces[step]
            for match in pattern.finditer(piece)
            for place in self._place(start, min(start + 2 * step, len(self._ids)), piece, *match.span())
        }
        return tuple(sorted(found))

    def _place(self, start: int, stop: int, piece: str, low: int, high: int) -> Iterator[tuple[int, int]]:
        """Characters [low, high) of what the tokens [start, stop) say, as tokens, unless a neighbour shows more.

        Tokens are read together with all that follow, or come before, since a character may need several of them.
        """
        head, tail = piece[:high], piece[low:]
        ends = range(start, stop + 1)
        last = start + bisect_left(ends, True, key=lambda end: self._text(self._ids[start:end]).startswith(head))
        holding = bisect_right(ends, False, key=lambda at: not self._text(self._ids[at:stop]).endswith(tail))
        first = start + holding - 1
        whole = (first > start or start == self._begin) and (last < stop or stop == len(self._ids))
        if whole:
            yield first, last


def _whole(wanted: str) -> str:
    """A pattern of the text where no further letter or digit touches it; Chinese has no blanks between words."""
    before, after = (f"(?{look}[0-9A-Za-z_])" for look in ("<!", "!"))
    start, end = (bool(re.match(r"[0-9A-Za-z_]", sign)) for sign in (wanted[0], wanted[-1]))
    return (before if start else "") + re.escape(wanted) + (after if end else "")
