"""Floors: sessions whose context cannot tell the answers. What a model scores there, it scores without reading."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from scbench.errors import ScbenchError
from scbench.tasks.session import Session

LOOK_AHEAD = 32  # sessions that wait for the context of one that shares no document with them


def floored(sessions: Iterable[Session], context: str) -> Iterator[Session]:
    """The sessions, in order, with the context that a task's option `context` asks for.

    Ids, questions and documents stay those of the full sessions, with which floors are paired; the counts are
    those of the context that is shown. Reads no more than it must, so that endless sessions may come in.
    """
    return _FLOORS[context](sessions)


def _full(sessions: Iterable[Session]) -> Iterator[Session]:
    return iter(sessions)


def _none(sessions: Iterable[Session]) -> Iterator[Session]:
    """The questions alone."""
    for session in sessions:
        yield replace(session, context="", characters=0, tokens=0, items=None if session.items is None else 0)


def _shuffled(sessions: Iterable[Session]) -> Iterator[Session]:
    """Each session with the context of a later one that shares no document with it: shared ones hold answers.

    Rows that end before one came continue at their start, of which two contexts are kept that share no document.
    Raises `ScbenchError` for a session without such another one.
    """
    start: list[Session] = []
    waiting: deque[Session] = deque()
    for session in sessions:
        if len(start) < 2 and all(_apart(session, kept) for kept in start):
            start.append(session)
        while waiting and _apart(waiting[0], session):
            yield _exchanged(waiting.popleft(), session)
        waiting.append(session)
        if len(waiting) > LOOK_AHEAD:
            raise _without_other(waiting[0])
    while waiting:
        session = waiting.popleft()
        other = next((kept for kept in (*waiting, *start) if _apart(session, kept)), None)
        if other is None:
            raise _without_other(session)
        yield _exchanged(session, other)


def _apart(one: Session, other: Session) -> bool:
    return frozenset(one.documents).isdisjoint(other.documents)


def _exchanged(session: Session, other: Session) -> Session:
    return replace(session, context=other.context, characters=other.characters, tokens=other.tokens, items=other.items)


def _without_other(session: Session) -> ScbenchError:
    return ScbenchError(
        f"task.context=shuffled: every other context near session {session.id} shares a document with it; "
        "use task.context=none, or a smaller task.length"
    )


_FLOORS: Mapping[str, Callable[[Iterable[Session]], Iterator[Session]]] = {
    "full": _full,
    "none": _none,
    "shuffled": _shuffled,
}
