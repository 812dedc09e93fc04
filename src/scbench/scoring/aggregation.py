"""The numbers that the original reports for a prediction file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scbench.scoring import code
from scbench.scoring.item import Answered
from scbench.scoring.names import PARTS, PUBLISHED
from scbench.scoring.rules import CODE, ref_of

PublishedRecord = Mapping[str, Any]
NO_LABEL = "XXXXXXXXXX"  # what the original compares with where a record lacks the label that the first one has


@dataclass(frozen=True)
class Column:
    """What a number is about: a turn's index (None in multi-request mode) and a task or part of a mix."""

    turn_idx: Any
    subtask: str


@dataclass(frozen=True)
class Aggregate:
    """What the original makes of a prediction file; percentages with 3 decimals.

    `turn_order` holds the turn indices in the order of their first appearance, none in multi-request mode.
    """

    columns: tuple[Column, ...]
    acc_str: str
    turn_order: tuple[Any, ...]
    summary_line: str

    @property
    def numbers(self) -> tuple[float, ...]:
        """The percentages."""
        return tuple(float(number) for number in self.acc_str.split(",") if number)


def aggregate(
    task: str, mode: str, records: Sequence[PublishedRecord], max_length: int, model: str = "MODEL"
) -> Aggregate:
    """Score a prediction file as the original does.

    `task` is a published name, `mode` is `multi_turn` or `multi_request`, `max_length` stands in the summary line
    unless it is -1. In multi-turn mode there is one mean per turn, else one over all records; a mix has two numbers
    each time, 0 for a part that has no record there. Raises what the original raises.
    """
    scores = ref_scores(task, mode, records)
    turns = tuple(dict.fromkeys(record["turn_idx"] for record in records)) if mode == "multi_turn" else ()
    columns = tuple(Column(turn, part) for turn in turns or (None,) for part in PARTS.get(task, (task,)))
    if mode == "multi_turn" and not turns:
        columns = ()
    means = [
        _mean(
            [
                score
                for score, record in zip(scores, records, strict=True)
                if (column.turn_idx is None or record["turn_idx"] == column.turn_idx)
                and (task not in PARTS or record["task"] == column.subtask)
            ],
            empty_is_zero=task in PARTS,
        )
        for column in columns
    ]
    acc_str = ",".join(f"{100 * mean:.3f}" for mean in means)
    head = [model, task, *(["scdq_mode"] if mode == "multi_request" else [])]
    length = [] if max_length == -1 else [str(max_length)]
    return Aggregate(columns, acc_str, turns, ",".join([*head, *length, acc_str]))


def ref_scores(task: str, mode: str, records: Sequence[PublishedRecord]) -> list[float]:
    """The original's score of each record; raises what the original raises."""
    parts = [record["task"] if task in PARTS else task for record in records]
    plain = [record for record, part in zip(records, parts, strict=True) if PUBLISHED[part] != CODE]
    labels = iter(_labels(plain))
    items = [answered(task, record) for record in records]
    functions = iter(code.ref_all([item for item in items if item.scored_as == CODE]))
    return [_value(next(functions)) if item.scored_as == CODE else ref_of(item, next(labels), mode) for item in items]


def answered(task: str, record: PublishedRecord) -> Answered:
    """A record of a prediction file as an item to score; its label is turned back into a gold answer.

    Raises `KeyError` or `ValueError` for what is missing, by the names of the original's errors.
    """
    part = record["task"] if task in PARTS else task
    gold, options = _gold(PUBLISHED[part], record.get("ground_truth", record.get("label")))
    is_code = PUBLISHED[part] == CODE
    return Answered(
        task=PUBLISHED[task],
        prediction=record["prediction"] if is_code else _prediction(record),
        gold=record["ground_truth"] if is_code else gold,
        options=options,
        subtask=PUBLISHED[part] if task in PARTS else None,
        session=str(record.get("id", "")),
        language=record["lang"] if is_code else record.get("lang"),
        repo=record["repo"] if is_code else record.get("repo"),
        function=record["func_name"] if is_code else None,
        fields=tuple(record),
    )


def _gold(name: str, label: Any) -> tuple[Any, tuple[str, ...]]:
    """Gold answer and options behind a label; the options that a file does not hold are empty texts."""
    if name == "en_qa" and isinstance(label, list) and len(label) == 1:
        return label[0], ()
    if name == "en_multichoice" and isinstance(label, list) and len(label) == 2:
        return label[0], tuple(label[0] if letter == label[1] else "" for letter in "ABCD")
    return label, ()


def _prediction(record: PublishedRecord) -> Any:
    for key in ("prediction", "pred"):
        if key in record:
            return record[key]
    raise ValueError(f"no prediction in {record}")


def _labels(records: Sequence[PublishedRecord]) -> list[Any]:
    if not records:
        return []
    for key in ("ground_truth", "label"):
        if key in records[0]:
            return [record.get(key, NO_LABEL) for record in records]
    raise ValueError(f"no label in {records[0]}")


def _value(score: float | Exception) -> float:
    if isinstance(score, Exception):
        raise score
    return score


def _mean(scores: Sequence[float], empty_is_zero: bool) -> float:
    return 0.0 if empty_is_zero and not scores else sum(scores) / len(scores)
