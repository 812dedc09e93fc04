"""What the two mixes share: turns of two kinds in alternation, each with its own limit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from scbench.tasks.base import FieldError, rotation, text_field
from scbench.tasks.session import Session, Turn

PUBLISHED = {
    "scbench_summary": "en_sum",
    "scbench_passkey": "passkey",
    "scbench_repoqa": "code_repoqa",
    "scbench_kv": "retr_kv",
}


def subtask(raw: Mapping[str, Any], known: Sequence[str]) -> str:
    """The part of a mix that a published turn's `task` names; raises `FieldError` for another one."""
    names = [name for name, part in PUBLISHED.items() if part in known]
    task = text_field("task", raw.get("task"))
    if task not in names:
        raise FieldError("task", f"must be {' or '.join(names)}, not '{task}'")
    return PUBLISHED[task]


def counts(parts: Sequence[str], index: int, turns: int) -> Mapping[str, int]:
    """How many turns of session `index` each part has."""
    order = rotation(tuple(parts), index, turns)
    return {part: order.count(part) for part in parts}


def alternate(asked: Mapping[str, Sequence[Turn]], index: int, turns: int) -> Iterator[Turn]:
    """The turns of each part in alternation, each session starting with the other part."""
    waiting = {part: iter(questions) for part, questions in asked.items()}
    for part in rotation(tuple(asked), index, turns):
        yield replace(next(waiting[part]), subtask=part)


def limits(session: Session, caps: Mapping[str, int], most: int) -> tuple[int, ...]:
    """The longest answer of each turn: `most` in the part with the longest answers, elsewhere its cap or less."""
    long = max(caps, key=lambda part: caps[part])
    return tuple(most if turn.subtask == long else min(most, caps[turn.subtask or ""]) for turn in session.turns)
