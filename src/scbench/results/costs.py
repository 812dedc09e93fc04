"""What a cell costs: per question, until its first token, per token; and from how many questions on it pays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, isnan, nan

import pandas as pd

from scbench.results.frames import KEY

ONCE = ("rewrite", "precompute", "prefill", "compress")  # stages that a context needs once
EACH = ("extend", "question", "decode")  # stages that every question needs
SERVED = "served"  # all of that together, by an engine that does not tell it apart
NOTE = (
    "once: seconds for a context before any question (rewrite, precompute, prefill, compress; the prefill that cells "
    "share counts whole). each: seconds that a question adds (extend, question, decode; of what was decoded together, "
    "an equal share). per question: once ÷ questions + each. TTFT (once + the first question) and tokens/s only where "
    "answers were decoded alone (width 1). Of another engine, per question is a share of all that it did. "
    "pays from: questions on one context from which the cell is cheaper than dense, `up to` the number to which it is, "
    "or `never`. n/a: the same costs, a batch of several cells (engine.batch=family), or times that are not there."
)


@dataclass(frozen=True)
class Cost:
    """Seconds, medians over sessions; NaN for what the scopes of the times do not allow."""

    once: float
    each: float
    per_question: float
    ttft: float
    tokens_per_second: float


NOTHING = Cost(nan, nan, nan, nan, nan)


def cell_costs(costs: pd.DataFrame, turns: pd.DataFrame, mixed: frozenset[str]) -> dict[str, Cost]:
    """The cost of each cell; `turns` are those that count, `mixed` cells decoded together with other cells."""
    joined = turns[[*KEY, "output_tokens"]].merge(costs, on=list(KEY))
    seconds = {stage: _seconds(joined, stage) for stage in (*ONCE, *EACH, SERVED)}
    width = _column(joined, "decode_batch_width").fillna(1)
    decode = seconds["decode"]
    frame = joined[["cell", "session", "turn"]].assign(
        once=_sum(seconds, ONCE).where(seconds["prefill"].notna()),
        each=_sum(seconds, EACH).where(decode.notna()),
        served=seconds[SERVED],
        wait=(seconds["extend"].fillna(0) + seconds["question"].fillna(0)).where(width == 1),
        rate=(joined["output_tokens"] / decode.where(decode > 0)).where(width == 1),
    )
    sessions = frame.groupby(["cell", "session"])
    table = sessions.agg(once=("once", "max"), each=("each", "mean"), asked=("turn", "size"), rate=("rate", "median"))
    table["ttft"] = table["once"] + sessions["wait"].first()
    table["per_question"] = (table["once"] / table["asked"] + table["each"]).fillna(sessions["served"].mean())
    names = ["once", "each", "per_question", "ttft", "rate"]
    medians = table.groupby("cell")[names].median()
    rows = zip(medians.index.astype(str), medians.to_numpy(dtype=float).tolist(), strict=True)
    return {cell: NOTHING if cell in mixed else Cost(*values) for cell, values in rows}


def pays_from(cost: Cost, dense: Cost) -> str:
    """From how many questions on one context a method costs less than dense: a number, `up to` one, or `never`.

    `n/a` where a time is not there, and for the same costs.
    """
    more, less = cost.once - dense.once, dense.each - cost.each  # it costs less where more < questions · less
    if isnan(more) or isnan(less) or more == less == 0:
        return "n/a"
    if less > 0:
        return str(max(1, floor(more / less) + 1))
    if less == 0:
        return "1" if more < 0 else "never"
    most = ceil(more / less) - 1
    return f"up to {most}" if most >= 1 else "never"


def _seconds(joined: pd.DataFrame, stage: str) -> pd.Series[float]:
    """A stage's seconds of one turn, whatever its scope; of a batch, an equal share."""
    batch = _column(joined, f"{stage}_batch_s") / _column(joined, f"{stage}_batch_width")
    return batch.fillna(_column(joined, f"{stage}_own_s")).fillna(_column(joined, f"{stage}_shared_s"))


def _sum(seconds: Mapping[str, pd.Series[float]], stages: Sequence[str]) -> pd.Series[float]:
    return pd.DataFrame({stage: seconds[stage].fillna(0) for stage in stages}).sum(axis=1)


def _column(joined: pd.DataFrame, name: str) -> pd.Series[float]:
    return joined[name] if name in joined else pd.Series(nan, index=joined.index)
