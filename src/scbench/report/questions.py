"""The questions of a sweep, as the page's browser reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scbench.errors import ScbenchError
from scbench.report.answers import LONGEST
from scbench.results.session_hashes import without_texts
from scbench.results.text import visible
from scbench.tasks import sessions

Plain = dict[str, Any]
PACKED = "Archives have no texts of sessions: the questions are not here."


def questions(path: Path, wanted: frozenset[str]) -> Plain:
    """Of a sessions file: the wanted sessions' questions, first turn first, and the length of their contexts.

    `note` says why there are none where the file cannot be read: records may be there without it.
    """
    if path.exists() and without_texts(path):
        return {"note": PACKED, "sessions": {}}
    try:
        found = {
            visible(session.id): {
                "questions": [visible(turn.question, LONGEST) for turn in session.turns],
                "tokens": session.tokens,
            }
            for session in sessions.read(path)
            if session.id in wanted
        }
    except ScbenchError as error:
        return {"note": visible(str(error)), "sessions": {}}
    return {"note": "", "sessions": found}
