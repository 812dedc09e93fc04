"""A sweep's scored records as data frames, and the CSV files that keep them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from csv import reader
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
from pyarrow import compute, csv

from scbench.errors import ScbenchError
from scbench.results.files import write_bytes_atomic

LABELS = ("cell", "model", "method", "budget", "task", "mode", "setting")
KEY = ("cell", "session", "turn")
BYTES = ("kv_dense", "kv_stored", "kv_touched", "kv_state")
FIDELITY = ("gold_tokens", "gold_log_likelihood", "kl_to_dense", "common_tokens", "same_as_dense", "gold_kept")
QUARTERS = ("quarter_1", "quarter_2", "quarter_3", "quarter_4")
LENGTHS = ("items", "characters", "context_tokens")
NUMBERS = ("strict", "ref", *QUARTERS, *LENGTHS, "prompt_tokens", "output_tokens", "answer_cut", *BYTES, *FIDELITY)
SCORES = (*LABELS, "context", "session", "turn", "subtask", "outcome", "ref_raised", *NUMBERS)
FAILURES = (*LABELS, "session", "turn", "outcome", "detail")


@dataclass(frozen=True)
class Scored:
    """A sweep's scored records; rows follow the manifest's cells, then session, then turn.

    `scores`   one row per turn, columns `SCORES`: `strict` and `ref` in [0, 1], NaN for a turn that failed;
               sessions that share a document, in whatever task, have one `context`;
               `LENGTHS` are the context's, NaN where a record does not say;
               `quarter_1` … `quarter_4` are the strict scores of the quarters of a long answer, NaN for other tasks;
               bytes are NaN where the record has none; `answer_cut` is 1 where the window cut the answer away
               `gold_log_likelihood` is the sum over `gold_tokens`; `common_tokens` are those before the first that
               differs from the dense cell's answer, `same_as_dense` is 1 where none does, NaN without a dense cell;
               `gold_kept` is the share of the right answer's tokens that the cache still held
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
    """Write `scores.csv`, `costs.csv` and `failures.csv`; an empty field is NaN or an empty text.

    A text that a spreadsheet would take for a formula stands behind an apostrophe, as does one that begins with one.
    """
    for name in ("scores", "costs", "failures"):
        table = pa.Table.from_pandas(getattr(scored, name), preserve_index=False)
        sink = pa.BufferOutputStream()
        csv.write_csv(_each_text(table, _guarded), sink)
        write_bytes_atomic(folder / f"{name}.csv", sink.getvalue().to_pybytes())


def read_scored(folder: Path) -> Scored:
    """The inverse of `save_scored`, to the last bit; raises `ScbenchError` when a file is not there."""
    texts = [name for name in SCORES if name not in {"turn", *NUMBERS}]
    return Scored(
        _read(folder / "scores.csv", texts),
        _read(folder / "costs.csv", ["cell", "session"]),
        _read(folder / "failures.csv", list(FAILURES)),
    )


def _read(path: Path, texts: Sequence[str]) -> pd.DataFrame:
    if not path.exists():
        raise ScbenchError(f"there is no {path}; score the sweep first (`scbench score`)")
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            names = next(reader(lines), [])
        types = {name: pa.string() if name in texts else pa.float64() for name in names}
        if "turn" not in texts:
            types["turn"] = pa.int64()
        table = csv.read_csv(
            path,
            parse_options=csv.ParseOptions(newlines_in_values=True),
            convert_options=csv.ConvertOptions(column_types=types, strings_can_be_null=False, null_values=[""]),
        )
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise ScbenchError(f"{path} cannot be read ({error}); delete it and score the sweep again") from error
    missing = [name for name in texts if name not in names]
    if missing:
        raise ScbenchError(f"{path} has no column {missing[0]}; delete it and score the sweep again")
    frame: pd.DataFrame = _each_text(table, _unguarded).to_pandas()
    return frame


def _each_text(table: pa.Table, change: Callable[[pa.ChunkedArray], pa.ChunkedArray]) -> pa.Table:
    """The table with its columns of texts changed."""
    for place, field in enumerate(table.schema):
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            table = table.set_column(place, field.name, change(table.column(place)))
    return table


def _guarded(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    return compute.replace_substring_regex(
        texts, r"\A(['\t\r]|[\s\x{a0}\x{2000}-\x{200b}\x{3000}\x{feff}]*[=+\-@＝＋－＠])", r"'\1"
    )


def _unguarded(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    return compute.replace_substring_regex(texts, r"\A'", "")
