"""Published data in the schema of `microsoft/SCBench`: rows become sessions, checked field by field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scbench.errors import ScbenchError
from scbench.tasks.base import FieldError, Task, document_hash, kind_of
from scbench.tasks.fit import Encoder
from scbench.tasks.rows import Row, read_rows
from scbench.tasks.session import Session, Turn


def read_sessions(task: Task, data: str, tokenizer: Encoder) -> Iterator[Session]:
    """The sessions of `task.data`, one row at a time.

    Session ids are row numbers, as the data's own ids are neither unique nor always there. Raises `ScbenchError`
    naming file, row and field.
    """
    for number, row in enumerate(read_rows(data, task.published), 1):
        try:
            yield _session(task, row, number, tokenizer)
        except FieldError as error:
            raise ScbenchError(f"{row.place}, field {error.field}: {error.reason}") from error


def _session(task: Task, row: Row, number: int, tokenizer: Encoder) -> Session:
    context, items = _context(task, row)
    language, repo = task.parse_source(row.values)
    return Session(
        id=f"row-{number:05d}",
        task=task.name,
        origin=task.published,
        context=context,
        turns=tuple(_turns(task, row.values.get("multi_turns"))),
        documents=(document_hash(context),),
        characters=len(context),
        tokens=len(tokenizer.encode(context, add_special_tokens=False)),
        items=items,
        language=language,
        repo=repo,
        place=row.place,
    )


def _context(task: Task, row: Row) -> tuple[str, int | None]:
    """The context, under the task's own field or under `context`; errors name the field that was read."""
    field = task.context_field if task.context_field in row.values else "context"
    try:
        return task.parse_context(row.values.get(field))
    except FieldError as error:
        raise FieldError(error.field.replace("context", field, 1), error.reason) from error


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
            turn = task.parse_turn(raw)
        except FieldError as error:
            raise FieldError(f"{field}.{error.field}", error.reason) from error
        if turn.options and turn.answer not in turn.options:
            raise FieldError(f"{field}.answer", "is not among the options")
        yield turn
