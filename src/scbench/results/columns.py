"""Scored records as columns of numbers and texts, cell by cell: quicker than a row for every turn."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import nan
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from scbench.record import Record
from scbench.results.divergence import Answers, Tokens, common_tokens
from scbench.results.frames import LENGTHS, QUARTERS
from scbench.results.store import FAILED
from scbench.scoring import Scores

NO_QUARTERS = (nan,) * len(QUARTERS)
Column = Sequence[object] | NDArray[np.float64]


class Columns:
    """Columns that grow by blocks of rows; a block may lack some of them, and bring new ones."""

    def __init__(self) -> None:
        self._blocks: list[tuple[int, Mapping[str, Any]]] = []

    @property
    def names(self) -> list[str]:
        """The columns that some block has."""
        return list(dict.fromkeys(name for _, block in self._blocks for name in block))

    def add(self, block: Mapping[str, Column]) -> None:
        """Add rows; all columns of a block are equally long."""
        rows = len(next(iter(block.values())))
        if rows:
            self._blocks.append((rows, packed(block)))

    def frame(self, names: Sequence[str], numbers: Collection[str]) -> pd.DataFrame:
        """The columns `names`: those in `numbers` as floats, NaN where a block lacks them, `turn` as integers, the
        others as texts.
        """
        return pd.DataFrame({name: self._column(name, name in numbers) for name in names})

    def _column(self, name: str, number: bool) -> object:
        parts = [block.get(name) for _, block in self._blocks]
        if not number and name != "turn":
            texts = [part for part in parts if part is not None]
            return pa.chunked_array(texts, type=pa.string()).to_pandas()
        kind = np.float64 if number else np.int64
        filled = [
            np.full(rows, nan) if part is None else np.asarray(part, dtype=kind)
            for part, (rows, _) in zip(parts, self._blocks, strict=True)
        ]
        return np.concatenate([np.empty(0, kind), *filled])


def packed(block: Mapping[str, Column]) -> dict[str, Any]:
    """Texts as Arrow arrays, numbers as NumPy ones: a twentieth of the memory of Python's objects."""
    return {name: _packed(values) for name, values in block.items()}


def _packed(values: Any) -> Any:
    if isinstance(values, list) and values and isinstance(values[0], str):
        return pa.array(values, type=pa.string())
    return values if isinstance(values, pa.Array) else np.asarray(values, dtype=np.float64)


def score_columns(records: Sequence[Record], scores: Sequence[Scores], dense: Answers) -> dict[str, Column]:
    """The columns of `Scored.scores` that a cell's records have, without its labels."""
    ended = [record.outcome not in FAILED for record in records]
    scored = list(zip(scores, ended, strict=True))
    held = [record.kv_bytes for record in records]
    said = [record.fidelity for record in records]
    others = [dense.get((record.session, record.turn)) for record in records]
    same = [
        _agreement(record.output_ids if end else None, other)
        for record, other, end in zip(records, others, ended, strict=True)
    ]
    quarters = [(*score.quarters, *NO_QUARTERS)[: len(QUARTERS)] if ok else NO_QUARTERS for score, ok in scored]
    return {
        "session": [record.session for record in records],
        "turn": [record.turn for record in records],
        "subtask": [record.subtask or "" for record in records],
        "outcome": [record.outcome.value for record in records],
        "ref_raised": [score.raised or "" if ok else "" for score, ok in scored],
        **{name: [_known(getattr(record, name)) for record in records] for name in LENGTHS},
        "prompt_tokens": [record.prompt_tokens for record in records],
        "output_tokens": [record.output_tokens for record in records],
        "answer_cut": [record.answer_cut for record in records],
        "strict": [score.strict if ok else nan for score, ok in scored],
        "ref": [score.ref if ok else nan for score, ok in scored],
        **{name: [values[place] for values in quarters] for place, name in enumerate(QUARTERS)},
        "kv_dense": [nan if it is None else it.dense for it in held],
        "kv_stored": [nan if it is None else it.stored for it in held],
        "kv_touched": [nan if it is None else it.touched for it in held],
        "kv_state": [nan if it is None else it.state for it in held],
        "gold_tokens": [nan if it is None else it.tokens for it in said],
        "gold_log_likelihood": [nan if it is None else it.log_likelihood for it in said],
        "kl_to_dense": [nan if it is None or it.kl_to_dense is None else it.kl_to_dense for it in said],
        "common_tokens": [common for common, _ in same],
        "same_as_dense": [equal for _, equal in same],
        "gold_kept": [_known(record.gold_kept) for record in records],
    }


def _known(value: float | None) -> float:
    return nan if value is None else value


def cost_columns(records: Sequence[Record]) -> dict[str, Column]:
    """The columns of `Scored.costs` that a cell's records have."""
    columns: dict[str, Column] = {
        "cell": [record.cell for record in records],
        "session": [record.session for record in records],
        "turn": [record.turn for record in records],
    }
    values: dict[str, NDArray[np.float64]] = {}
    for place, record in enumerate(records):
        for name, value in _costs(record).items():
            if name not in values:
                values[name] = np.full(len(records), nan)
            values[name][place] = value
    return columns | values


def _agreement(answer: Tokens | None, dense: Tokens | None) -> tuple[float, float]:
    """The tokens that an answer has in common with dense's, and whether all are the same; NaN without either."""
    if answer is None or dense is None:
        return nan, nan
    return common_tokens(answer, dense), answer == dense


def _costs(record: Record) -> dict[str, float]:
    costs: dict[str, float] = {}
    for stage, time in record.times.items():
        costs[f"{stage}_{time.scope}_s"] = time.seconds
        if time.scope == "batch":
            costs[f"{stage}_batch_width"] = time.width
    for stage, peak in record.peak_bytes.items():
        costs[f"{stage}_peak_bytes"] = peak
    return costs
