"""What a running family says about itself, and who listens: a terminal, a log, nobody."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.text import Text


class Progress(Protocol):
    """The engine calls these as it goes; neither may fail or take long."""

    def session(self, index: int, count: int, name: str) -> None:
        """Session number `index` (from 0) of `count` begins."""

    def phase(self, name: str, done: int, total: int, unit: str) -> None:
        """`done` of `total` units (say, tokens) of the phase `name` of the current session are finished."""


class NullProgress:
    """Nobody listens."""

    def session(self, index: int, count: int, name: str) -> None:
        """Say nothing."""

    def phase(self, name: str, done: int, total: int, unit: str) -> None:
        """Say nothing."""


class LogProgress:
    """For captured output: one line when a session begins, with what the one before took."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._began: float | None = None

    def session(self, index: int, count: int, name: str) -> None:
        """One line: which session, and the time that the last one took."""
        now = time.monotonic()
        took = "" if self._began is None else f", {now - self._began:.0f} s for the one before"
        self._began = now
        print(f"session {index + 1} of {count}: {name}{took}", file=self._stream, flush=True)

    def phase(self, name: str, done: int, total: int, unit: str) -> None:
        """Say nothing: a log has one line per session."""


class BarProgress:
    """For a terminal: a bar for the sessions and one for the phase, with its rate and the time that is left."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._sessions = bars.add_task("sessions", total=None, unit="")
        self._phase = bars.add_task("", total=None, unit="", visible=False)
        self._name = ""

    def session(self, index: int, count: int, name: str) -> None:
        """Move the upper bar."""
        self._bars.update(self._sessions, completed=index, total=count, description=f"session {name}")

    def phase(self, name: str, done: int, total: int, unit: str) -> None:
        """Move the lower bar; a new phase starts it anew."""
        if name != self._name or done == 0:
            self._name = name
            self._bars.reset(self._phase, total=total, description=name, visible=True, unit=unit)
        self._bars.update(self._phase, completed=done, total=total)


class _Rate(ProgressColumn):
    """Units per second of the current phase."""

    def render(self, task: Task) -> Text:
        if not task.speed or not task.fields["unit"]:
            return Text("")
        return Text(f"{task.speed:.0f} {task.fields['unit']}/s")


@contextmanager
def shown(stream: TextIO | None = None) -> Iterator[Progress]:
    """Bars if `stream` (standard error) is a terminal, else lines."""
    stream = stream or sys.stderr
    if not stream.isatty():
        yield LogProgress(stream)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Bars(*columns, _Rate(), TimeRemainingColumn(), console=Console(file=stream)) as bars:
        yield BarProgress(bars)
