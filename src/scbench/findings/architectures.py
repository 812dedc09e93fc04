"""Untouched models beside each other, turn by turn: what they answer, and what a token and their states cost."""

from __future__ import annotations

from scbench.config.cell import Cell
from scbench.modes import MULTI_TURN
from scbench.results.statistics import counted
from scbench.results.summary import Summary
from scbench.results.table import Column, Table

NOTE = (
    "Dense cells in multi-turn mode, with right answers as history. accuracy in %; KV bytes per token over all "
    "attention layers; state bytes are what the other layers hold, whatever the length; MiB stored: both, when the "
    "turn's answer starts."
)
COLUMNS = (
    *map(Column, ("model", "task", "turn")),
    *(Column("accuracy", 1), Column("KV bytes per token", 0), Column("state bytes", 0), Column("MiB stored", 2)),
)


def architectures_table(summary: Summary) -> Table:
    """A row per model and turn, for every task that several models answered untouched."""
    models: dict[str, set[str]] = {}
    untouched = {name: summary.labels[name] for name, cell in summary.sweep.cells.items() if _untouched(cell)}
    for label in untouched.values():
        models.setdefault(label.title, set()).add(label.model)
    scores = counted(summary.scored.scores)
    turns = scores[scores["cell"].isin(untouched)].assign(
        accuracy=100 * scores["strict"],
        per_token=(scores["kv_dense"] - scores["kv_state"]) / scores["prompt_tokens"],
        mib=scores["kv_stored"] / 2**20,
    )
    means = turns.groupby(["cell", "turn"])[["accuracy", "per_token", "kv_state", "mib"]].mean()
    rows = [
        (label.model, label.title, turn + 1, *map(float, values))
        for name, label in untouched.items()
        if len(models[label.title]) > 1 and name in means.index
        for turn, values in zip(means.loc[name].index.tolist(), means.loc[name].to_numpy(), strict=True)
    ]
    return Table("architectures", "Architectures", NOTE, COLUMNS, tuple(rows))


def _untouched(cell: Cell) -> bool:
    return (
        [method.name for method in cell.methods] == ["dense"]
        and cell.mode.name == MULTI_TURN
        and (cell.history, cell.query) == ("gold", "aware")
    )
