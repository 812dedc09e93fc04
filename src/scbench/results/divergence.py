"""How far a cell's answers are from those of the dense cache, in tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scbench.config.cell import Cell
from scbench.record import Record
from scbench.results.store import FAILED

Tokens = tuple[int, ...]
Answers = Mapping[tuple[str, int], Tokens]  # by session and turn

NO_ANSWERS: Answers = {}


def dense_cells(cells: Mapping[str, Cell]) -> dict[str, str]:
    """Per cell, by fingerprint, the dense one that asks the same of the same model, where the sweep has it."""
    dense = {_question(cell): name for name, cell in cells.items() if cell.method_name == "dense"}
    return {name: dense[_question(cell)] for name, cell in cells.items() if _question(cell) in dense}


def answered(records: Sequence[Record]) -> dict[tuple[str, int], Tokens]:
    """The answers' tokens of the turns that did not fail."""
    return {
        (record.session, record.turn): record.output_ids
        for record in records
        if record.outcome not in FAILED and record.output_ids is not None
    }


def common_tokens(answer: Tokens, dense: Tokens) -> int:
    """How many tokens two answers have in common before the first that differs."""
    for place, (one, other) in enumerate(zip(answer, dense, strict=False)):
        if one != other:
            return place
    return min(len(answer), len(dense))


def _question(cell: Cell) -> str:
    parts = (cell.model, cell.task, cell.mode, cell.history, cell.fit, cell.max_turns, cell.prompt_style)
    return repr((*parts, cell.engine))
