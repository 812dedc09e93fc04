"""A sweep's scored records as data frames, and the CSV files that keep them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from scbench.errors import ScbenchError
from scbench.results.files import write_text_atomic

LABELS = ("cell", "model", "method", "budget", "task", "mode", "setting")
KEY = ("cell", "session", "turn")
BYTES = ("kv_dense", "kv_stored", "kv_touched")
FIDELITY = ("gold_tokens", "gold_log_likelihood", "kl_to_dense", "common_tokens", "same_as_dense")
QUARTERS = ("quarter_1", "quarter_2", "quarter_3", "quarter_4")
NUMBERS = ("strict", "ref", *QUARTERS, "prompt_tokens", "output_tokens", "answer_cut", *BYTES, *FIDELITY)
SCORES = (*LABELS, "session", "turn", "subtask", "outcome", "ref_raised", *NUMBERS)
FAILURES = (*LABELS, "session", "turn", "outcome", "detail")


@dataclass(frozen=True)
class Scored:
    """A sweep's scored records; rows follow the manifest's cells, then session, then turn.

    `scores`   one row per turn, columns `SCORES`: `strict` and `ref` in [0, 1], NaN for a turn that failed;
               `quarter_1` … `quarter_4` are the strict scores of the quarters of a long answer, NaN for other tasks;
               bytes are NaN where the record has none; `answer_cut` is 1 where the window cut the answer away
               `gold_log_likelihood` is the sum over `gold_tokens`; `common_tokens` are those before the first that
               differs from the dense cell's answer, `same_as_dense` is 1 where none does, NaN without a dense cell
    `costs`    one row per turn: `KEY`, and the seconds of each stage by scope (`prefill_shared_s`); where
               the scope is a batch, its width too (`decode_batch_width`); `prefill_peak_bytes`, `decode_peak_bytes`
    `failures` one row, all texts, per failed turn (oom, timeout, error), per cell that failed whole
               (`failed`), and per cell whose sessions are not all there (`missing`)

    Only `costs` has numbers that differ when the same cells are run again.
    """

    scores: pd.DataFrame
    costs: pd.DataFrame
    failures: pd.DataFrame


def save_scored(scored: Scored, folder: Path) -> None:
    """Write `scores.csv`, `costs.csv` and `failures.csv`; an empty field is NaN or an empty text."""
    for name in ("scores", "costs", "failures"):
        frame: pd.DataFrame = getattr(scored, name)
        write_text_atomic(folder / f"{name}.csv", frame.to_csv(index=False, lineterminator="\n"))


def read_scored(folder: Path) -> Scored:
    """The inverse of `save_scored`, to the last bit; raises `ScbenchError` when a file is not there."""
    texts = [name for name in SCORES if name not in {"turn", *NUMBERS}]
    scores = _read(folder / "scores.csv", texts)
    return Scored(
        scores.astype(dict.fromkeys(NUMBERS, float)),
        _read(folder / "costs.csv", ["cell", "session"]),
        _read(folder / "failures.csv", list(FAILURES)),
    )


def _read(path: Path, texts: list[str]) -> pd.DataFrame:
    if not path.exists():
        raise ScbenchError(f"there is no {path}; score the sweep first (`scbench score`)")
    frame = pd.read_csv(
        path,
        dtype=dict.fromkeys(texts, str),
        keep_default_na=False,  # a session may be called "NA"
        na_values=[""],
        float_precision="round_trip",
    )
    return frame.fillna(dict.fromkeys(texts, ""))
