"""The sessions of a task: made or read once, kept as one JSON line each."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import count, islice
from pathlib import Path
from typing import Any

from scbench.errors import ScbenchError
from scbench.tasks.base import Task
from scbench.tasks.fit import Encoder
from scbench.tasks.floor import floored
from scbench.tasks.published import read_sessions
from scbench.tasks.session import Answer, Session, Turn


def make_sessions(task: Task, tokenizer: Encoder) -> Iterator[Session]:
    """The first `task.limit` sessions, generated or from `task.data`, or their floors; raises `ScbenchError`.

    A floor may look at sessions after the limit, so that no session depends on the limit. Seeds below zero belong to
    the training of the tiny models (`scbench.training.seeds`), and are refused.
    """
    if task.data is None and task.seed < 0:
        raise ScbenchError(f"task.seed={task.seed}: seeds below 0 are for training; give 0 or more")
    if task.data is None:
        sessions: Iterable[Session] = (task.generate(index, tokenizer) for index in count())
    else:
        sessions = read_sessions(task, task.data, tokenizer)
    return islice(floored(sessions, task.context), task.limit)


def write(path: Path, sessions: Iterable[Session]) -> None:
    """Write a sessions file, a session at a time; it is there complete or not at all."""
    _write(path, (asdict(session) for session in sessions))


def write_failure(path: Path, reason: str) -> None:
    """Write a sessions file that says why there are no sessions; `read` raises this reason."""
    _write(path, [{"error": reason}])


def read(path: Path) -> Iterator[Session]:
    """The sessions of a file, one at a time.

    Raises `ScbenchError` with the stored reason where the sessions could not be made, and naming file and
    line where the file is damaged or not there.
    """
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                yield _session(line, path, number)
    except OSError as error:
        raise ScbenchError(f"{path}: cannot be read ({error.strerror}); `scbench sessions` makes it") from error


def _write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise ScbenchError(
            f"{path}: cannot be written ({error.strerror}); free space or choose another folder"
        ) from error
    finally:
        draft.unlink(missing_ok=True)


def _session(line: str, path: Path, number: int) -> Session:
    try:
        data = json.loads(line)
        if "error" in data:
            raise ScbenchError(data["error"])
        turns = tuple(_turn(raw) for raw in data.pop("turns"))
        return Session(turns=turns, documents=tuple(data.pop("documents")), **data)
    except (KeyError, TypeError, ValueError) as error:
        raise ScbenchError(f"{path}, line {number}: not a session; delete the file to make it anew") from error


def _turn(raw: dict[str, Any]) -> Turn:
    answer: Answer | list[str] = raw.pop("answer")
    options = tuple(raw.pop("options"))
    return Turn(answer=tuple(answer) if isinstance(answer, list) else answer, options=options, **raw)
