"""The answers of a cell as the page's browser reads them: columns of plain values, a place per turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isnan
from typing import Any

from scbench.record import Record
from scbench.results.text import visible

LONGEST = 20_000  # characters of a question or an answer that the page shows
Plain = dict[str, Any]
Scores = Mapping[tuple[str, int], tuple[float, float]]  # strict and ref by session and turn


def answers(records: Sequence[Record], scores: Scores) -> Plain:
    """A list per column, in the order of the records; a column that is empty at every turn is left out.

    All texts are visible (`scbench.results.text`); turns count from 1; a score that is n/a is None.
    """
    columns: dict[str, list[Any]] = {name: [value(record) for record in records] for name, value in COLUMNS.items()}
    pairs = [scores.get((record.session, record.turn), (float("nan"),) * 2) for record in records]
    columns["strict"] = [_number(strict) for strict, _ in pairs]
    columns["ref"] = [_number(ref) for _, ref in pairs]
    return {name: values for name, values in columns.items() if not all(map(_empty, values))}


def _empty(value: Any) -> bool:
    """Whether a record says nothing here; a zero says something."""
    return value is None or value is False or value in ("", [], {})


def _gold(record: Record) -> str:
    return _long(" | ".join(record.gold) if isinstance(record.gold, tuple) else str(record.gold))


def _long(text: str) -> str:
    return visible(text, LONGEST)


def _bytes(record: Record) -> list[int] | None:
    held = record.kv_bytes
    return [held.stored, held.touched, held.dense, held.nominal] if held else None


def _times(record: Record) -> dict[str, list[Any]]:
    return {visible(name): [time.seconds, time.scope, time.width] for name, time in record.times.items()}


def _fidelity(record: Record) -> list[Any] | None:
    found = record.fidelity
    return [found.log_likelihood, found.tokens, found.kl_to_dense] if found else None


def _number(value: float) -> float | None:
    return None if isnan(value) else value


COLUMNS: Mapping[str, Callable[[Record], Any]] = {
    "session": lambda record: visible(record.session),
    "turn": lambda record: record.turn + 1,
    "outcome": lambda record: record.outcome.value,
    "detail": lambda record: visible(record.detail),
    "prediction": lambda record: _long(record.prediction),
    "gold": _gold,
    "options": lambda record: list(map(_long, record.options)),
    "subtask": lambda record: visible(record.subtask or ""),
    "answer_cut": lambda record: record.answer_cut,
    "prompt_tokens": lambda record: record.prompt_tokens,
    "output_tokens": lambda record: record.output_tokens,
    "stopped": lambda record: visible(record.stopped),
    "prompt_visible": lambda record: visible(record.prompt_visible),
    "kv_bytes": _bytes,
    "kept": lambda record: list(record.kept),
    "density": lambda record: list(record.density),
    "context_kept": lambda record: record.context_kept,
    "gold_kept": lambda record: record.gold_kept,
    "kernels": lambda record: list(map(visible, record.kernels)),
    "times": _times,
    "peak_bytes": lambda record: {visible(stage): peak for stage, peak in record.peak_bytes.items()},
    "fidelity": _fidelity,
}
