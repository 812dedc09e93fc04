"""Replay of golden scoring vectors: does `ref` give what the original gave?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from scbench.scoring import code
from scbench.scoring.aggregation import aggregate
from scbench.scoring.item import Answered
from scbench.scoring.names import PUBLISHED
from scbench.scoring.rules import RAISED, score_all

TOLERANCE = 1e-9
Case = Mapping[str, Any]


class UnknownTaskError(ValueError):
    """A case of a task that the benchmark does not have."""


@dataclass(frozen=True)
class Replayed:
    """One case: the scorer's name, the case's id, what the original gave and what scbench gives."""

    name: str
    id: str
    expected: Mapping[str, Any]
    got: Mapping[str, Any]

    @property
    def agrees(self) -> bool:
        """Whether both are the same, numbers up to 1e-9."""
        return same(self.expected, self.got)


def replay(data: Mapping[str, Any]) -> Iterator[Replayed]:
    """Replay every case of a golden scoring file; the sections that it lacks are passed over."""
    for task, cases in data.get("scorers", {}).items():
        yield from (_replayed(task, case, ("score",), _single) for case in cases)
    for section, (fields, values) in _SECTIONS.items():
        yield from (_replayed(section, case, fields, values) for case in data.get(section, ()))


def same(expected: Any, got: Any) -> bool:
    """Whether two values of JSON are equal, numbers up to 1e-9; a truth value is no number."""
    if isinstance(expected, Mapping) and isinstance(got, Mapping):
        return expected.keys() == got.keys() and all(same(value, got[key]) for key, value in expected.items())
    if isinstance(expected, list | tuple) and isinstance(got, list | tuple):
        return len(expected) == len(got) and all(map(same, expected, got))
    if isinstance(expected, bool) != isinstance(got, bool):
        return False
    if isinstance(expected, float | int) and isinstance(got, float | int):
        return math.isclose(expected, got, rel_tol=0, abs_tol=TOLERANCE)
    return bool(expected == got)


def _replayed(name: str, case: Case, fields: tuple[str, ...], values: Callable[[Case], Mapping[str, Any]]) -> Replayed:
    """A case beside what `values` gives for it, in the `fields` that the case has; an error is a field too."""
    try:
        got = values(case)
    except RAISED as error:
        got = {"error": type(error).__name__}
    if "error" in case and case["error"] is not None:
        return Replayed(name, str(case.get("id")), {"error": case["error"]}, {"error": got.get("error")})
    if "error" in got:
        return Replayed(name, str(case.get("id")), {field: case[field] for field in fields if field in case}, got)
    fields = tuple(field for field in fields if field in case)
    if not fields:
        raise KeyError(f"case {case.get('id')} of {name} says nothing that is expected")
    expected = {field: case[field] for field in fields}
    return Replayed(name, str(case.get("id")), expected, {field: got[field] for field in fields})


def _single(case: Case) -> Mapping[str, Any]:
    if case["task"] not in PUBLISHED:
        raise UnknownTaskError(case["task"])
    gold = case["ground_truth"] if "ground_truth" in case else case["label"]
    scores = score_all([Answered(PUBLISHED[case["task"]], case["prediction"], gold, case.get("options") or ())])[0]
    return {"score": scores.ref} if scores.raised is None else {"error": scores.raised}


def _unit(case: Case) -> Mapping[str, Any]:
    needles = [code.Needle(needle["name"], needle["needle"]) for needle in case["needles"]]
    match = code.match(case["prediction"], case["lang"], needles)
    name = case["func_name"]
    passes = {threshold: float(match.hits(name, threshold)) for threshold in code.THRESHOLDS}
    return {
        "extracted": match.code,
        "similarities": match.similarities,
        "best_target": match.best,
        "best_similarity": match.similarity,
        "is_best": match.hits(name, 0.0),
        "pass_at_1_by_threshold": {str(threshold): passed for threshold, passed in passes.items()},
        "score": float(match.hits(name)),
    }


def _similarity(case: Case) -> Mapping[str, Any]:
    return {"similarity": code.bleu(case["candidate"], case["reference"])}


def _aggregation(case: Case) -> Mapping[str, Any]:
    found = aggregate(case["task"], case["mode"], case["records"], case["max_seq_length"])
    return {
        "acc_str": found.acc_str,
        "numbers": found.numbers,
        "columns": [asdict(column) for column in found.columns],
        "turn_order": found.turn_order,
        "summary_line": found.summary_line,
    }


_UNIT_FIELDS = (
    "extracted",
    "similarities",
    "best_target",
    "best_similarity",
    "is_best",
    "pass_at_1_by_threshold",
    "score",
)
_AGGREGATION_FIELDS = ("acc_str", "numbers", "columns", "turn_order", "summary_line")
_SECTIONS: Mapping[str, tuple[tuple[str, ...], Callable[[Case], Mapping[str, Any]]]] = {
    "repoqa_unit": (_UNIT_FIELDS, _unit),
    "repoqa_similarity": (("similarity",), _similarity),
    "aggregation": (_AGGREGATION_FIELDS, _aggregation),
}
