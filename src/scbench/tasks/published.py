"""Published data: JSONL rows in the schema of `microsoft/SCBench`, checked field by field."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from scbench.errors import ScbenchError
from scbench.tasks.base import FieldError, Task, document_hash, kind_of
from scbench.tasks.fit import Encoder
from scbench.tasks.session import Session, Turn


def read_sessions(task: Task, data: str, tokenizer: Encoder) -> Iterator[Session]:
    """The sessions of a data file, or of `<published>.jsonl` in a data folder, one row at a time.

    Session ids are line numbers, as the data's own ids are neither unique nor always there.
    Raises `ScbenchError` naming file, row (line number) and field.
    """
    path = Path(data)
    if path.is_dir():
        path = path / f"{task.published}.jsonl"
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield _session(task, line, path, number, tokenizer)
    except OSError as error:
        raise ScbenchError(
            f"{path}: cannot be read ({error.strerror}); task.data names a JSONL file or its folder"
        ) from error


def _session(task: Task, line: bytes, path: Path, number: int, tokenizer: Encoder) -> Session:
    try:
        row = _row(line)
        context, items = task.parse_context(row.get("context"))
        turns = tuple(_turns(task, row.get("multi_turns")))
    except FieldError as error:
        raise ScbenchError(f"{path}, row {number}, field {error.field}: {error.reason}") from error
    except ValueError as error:
        raise ScbenchError(f"{path}, row {number}: {error}") from error
    return Session(
        id=f"row-{number:05d}",
        task=task.name,
        origin=task.published,
        context=context,
        turns=turns,
        documents=(document_hash(context),),
        characters=len(context),
        tokens=len(tokenizer.encode(context, add_special_tokens=False)),
        items=items,
    )


def _row(line: bytes) -> Mapping[str, Any]:
    try:
        row = json.loads(line.rstrip().decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start + 1} is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error.msg} at character {error.pos + 1})") from error
    if not isinstance(row, dict):
        raise ValueError(f"expected an object, found {kind_of(row)}")
    return row


def _turns(task: Task, turns: Any) -> Iterator[Turn]:
    if not isinstance(turns, list):
        raise FieldError("multi_turns", f"expected a list, found {kind_of(turns)}")
    if not turns:
        raise FieldError("multi_turns", "has no turns")
    for place, raw in enumerate(turns):
        field = f"multi_turns[{place}]"
        if not isinstance(raw, dict):
            raise FieldError(field, f"expected an object, found {kind_of(raw)}")
        try:
            yield task.parse_turn(raw)
        except FieldError as error:
            raise FieldError(f"{field}.{error.field}", error.reason) from error
