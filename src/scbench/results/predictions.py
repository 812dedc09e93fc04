"""Prediction files of the original: `prediction_<task>_<mode>.jsonl`, one record per turn."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scbench.errors import ScbenchError
from scbench.scoring.names import PARTS, PUBLISHED

_NAME = re.compile(r"prediction_(?P<task>\w+?)_(?P<mode>multi_turn|scdq)(_lingua)?\.jsonl")
_MODES = {"multi_turn": "multi_turn", "scdq": "multi_request"}
_FIELDS = ({"turn_idx"}, {"prediction", "pred"}, {"ground_truth", "label"})  # one of each is needed


@dataclass(frozen=True)
class PredictionFile:
    """A prediction file: the published name of its task, `multi_turn` or `multi_request`, and its records."""

    task: str
    mode: str
    records: tuple[Mapping[str, Any], ...]


def is_prediction_file(path: Path) -> bool:
    """Whether the file's name is one that the original gives to its predictions."""
    return _NAME.fullmatch(path.name) is not None


def read_predictions(path: Path) -> PredictionFile:
    """Read the file; raises `ScbenchError` naming file, line and field for what is no record of its task."""
    name = _NAME.fullmatch(path.name)
    if name is None or name["task"] not in PUBLISHED:
        raise ScbenchError(f"{path} is not called prediction_<task>_<multi_turn|scdq>.jsonl; rename it")
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ScbenchError(f"{path} cannot be read ({error}); give a prediction file") from error
    numbered = [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    if not numbered:
        raise ScbenchError(f"{path} has no records; run the task first")
    records = tuple(_record(line, f"{path}, line {number}", name["task"]) for number, line in numbered)
    return PredictionFile(name["task"], _MODES[name["mode"]], records)


def _record(line: str, where: str, task: str) -> Mapping[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise ScbenchError(f"{where} is no JSON ({error}); repair or delete it") from error
    if not isinstance(record, dict):
        raise ScbenchError(f"{where} is no record but {type(record).__name__}; repair or delete it")
    part = record.get("task") if task in PARTS else task
    if part not in PARTS.get(task, (task,)):
        raise ScbenchError(f"{where}, field task: {part!r} is no part of {task}; there are {', '.join(PARTS[task])}")
    code = part == "scbench_repoqa"
    needed = _FIELDS if not code else tuple({key} for key in _CODE_FIELDS)
    for names in needed:
        if not names & record.keys():
            raise ScbenchError(f"{where}, field {' or '.join(sorted(names, reverse=True))} is missing; add it")
    if not isinstance(record.get("prediction", record.get("pred")), str):
        raise ScbenchError(f"{where}, field prediction is no text; repair it")
    return record


_CODE_FIELDS = ("turn_idx", "prediction", "ground_truth", "lang", "repo", "func_name")
