"""Which cells of a sweep are compared with which."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping

from scbench.config.cell import Cell
from scbench.results.divergence import dense_cells
from scbench.results.labels import Label

REFERENCES = frozenset({"dense", "dense_repeat"})  # no methods: what methods are compared with


def peers(cells: Mapping[str, Cell], labels: Mapping[str, Label]) -> dict[str, dict[str, str]]:
    """Per contrast (`scbench.results.comparison.CONTRASTS`), the peer of each cell that has one, by fingerprint."""
    dense = {cell: peer for cell, peer in dense_cells(cells).items() if peer != cell}
    turns = {cell: peer for cell, peer in dense.items() if cells[cell].mode.options["kind"] == "multi_turn"}
    return {
        "mean": {cell: cell for cell in cells},
        "dense": dense,
        "first_turn": turns,
        "mode": _modes(cells, labels),
        "history": _histories(cells),
    }


def repeats(cells: Mapping[str, Cell]) -> dict[str, str]:
    """Per dense cell, the one that ran dense again in other chunks and batches."""
    dense = dense_cells(cells)
    return {dense[cell]: cell for cell, its in cells.items() if its.method_name == "dense_repeat" and cell in dense}


def _modes(cells: Mapping[str, Cell], labels: Mapping[str, Label]) -> dict[str, str]:
    """Multi-turn cells with gold answers beside the multi-request cell that differs in nothing but the mode.

    What the cache has seen of the question follows from the mode, unless it was asked for: then it is the same too.
    """
    requests: dict[Hashable, list[str]] = {}
    turns: dict[Hashable, list[str]] = {}
    for fingerprint, cell in cells.items():
        label = labels[fingerprint]
        parts = (cell.methods, cell.task, cell.engine, cell.max_turns, cell.prompt_style, cell.fit, cell.compress)
        named = (label.model, label.row, label.title, repr(parts))
        if cell.mode.options["kind"] == "multi_request":
            requests.setdefault(named, []).append(fingerprint)
        elif cell.history == "gold":
            turns.setdefault(named, []).append(fingerprint)
    found = {}
    for key, mine in turns.items():
        theirs = requests.get(key, [])
        if len(mine) == len(theirs) == 1:
            found[mine[0]] = theirs[0]
        else:
            seen = {cells[other].query: other for other in theirs}
            found |= {one: seen[cells[one].query] for one in mine if cells[one].query in seen}
    return found


def _histories(cells: Mapping[str, Cell]) -> dict[str, str]:
    """Cells with gold answers fed back beside the cells that differ in nothing but that."""
    generated = {_but_history(cell): name for name, cell in cells.items() if cell.history == "generated"}
    gold = ((name, _but_history(cell)) for name, cell in cells.items() if cell.history == "gold")
    return {name: generated[rest] for name, rest in gold if rest in generated}


def _but_history(cell: Cell) -> str:
    return json.dumps(cell.to_dict() | {"history": ""}, sort_keys=True, default=str)
