"""Canonical cells and the names of things: fingerprints of cells, ids of families and sources.

Pure functions; what must be read from files comes in as hashes (`scbench.grid.hashes`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any

from scbench.config.cell import Cell, Choice
from scbench.errors import ScbenchError
from scbench.methods.budget import Budget

MODEL = "model."  # before a model's option in an engine's NOT_HASHED
GENERATED_ONLY = frozenset({"length", "size", "seed", "turns"})  # options of a task without effect on published data


def canonical(cell: Cell) -> Cell:
    """The cell with every setting that has no effect in it at its neutral value, so that equal cells merge.

    The budget is None if no method uses it; only the turns of one conversation have a history; what is in the cache
    when a method acts matters to methods that act on it; published data has its own length and turns; a number of
    items says more than a length; only contexts with items are fitted in another way than by
    their middle, and the original's prompts never.
    """
    in_bytes = cell.budget is not None and Budget(cell.budget).in_bytes
    asked = [method.type.uses_budget or (in_bytes and method.type.uses_bytes) for method in cell.methods]
    budget = cell.budget if any(asked) else None
    history = cell.history if cell.mode.options["kind"] == "multi_turn" else "gold"
    return replace(
        cell,
        budget=budget,
        history=history,
        query=_canonical_query(cell),
        compress=_canonical_compress(cell),
        fit=cell.fit if cell.task.type.has_items() and cell.prompt_style == "fixed" else "whole",
        task=_canonical_task(cell.task),
    )


def _canonical_query(cell: Cell) -> str:
    """The mode's own, unless a method compresses and would do it otherwise.

    In multi-turn mode the question is part of the base; in multi-request mode only a method that observes queries, or
    that alone plans how the base is read, can tell whether one was there.
    """
    compress = any("compression" in method.type.stages for method in cell.methods)
    turns = cell.mode.options["kind"] == "multi_turn"
    if cell.query == "each":
        return "each" if compress else "aware" if turns else "free"
    if turns:
        return cell.query if compress else "aware"
    plans = all(method.type.only_plans() for method in cell.methods)
    return cell.query if plans or any(method.type.observes for method in cell.methods) else "free"


def _canonical_compress(cell: Cell) -> str:
    """`once`, unless a method compresses and there are later points at which it would do so differently."""
    later = cell.mode.options["kind"] == "multi_turn" and cell.query != "each"
    return cell.compress if later and any(method.type.repeats for method in cell.methods) else "once"


def _canonical_task(task: Choice) -> Choice:
    if task.options.get("data") is not None:
        unused = GENERATED_ONLY
    elif task.options.get("size") is not None:
        unused = frozenset({"length"})
    else:
        return task
    neutral = {field.name: field.default for field in fields(task.type) if field.name in unused}
    return replace(task, options={**task.options, **neutral})


def fingerprint(cell: Cell, hashes: Mapping[str, Any]) -> str:
    """16 hexadecimal digits that name everything that can change the numbers of a canonical cell.

    More sessions extend a cell, so `task.limit` is left out; of `task.data` and the files of methods only the content
    counts, which is in the hashes; and the engine says in NOT_HASHED which of its options change no number, and which
    of the model's: one engine sums over several devices, another only goes from one to the next.
    """
    data = cell.to_dict()
    for method, described in zip(cell.methods, data["methods"], strict=True):
        described["options"] = _without(method, method.type.files)
    data["task"]["options"] = _without(cell.task, ("limit", "data"))
    unhashed = cell.engine.type.NOT_HASHED
    data["engine"]["options"] = _without(cell.engine, unhashed)
    data["model"]["options"] = _without(cell.model, (name.removeprefix(MODEL) for name in unhashed if MODEL in name))
    return digest({"cell": data, "hashes": hashes}, 16)


def _without(choice: Choice, options: Iterable[str]) -> dict[str, Any]:
    left_out = set(options)
    return {key: value for key, value in choice.options.items() if key not in left_out}


def named(cells: Iterable[tuple[Cell, Mapping[str, Any]]]) -> dict[str, Cell]:
    """Canonical cells (with their hashes) by fingerprint, in their order, equal ones once.

    Raises `ScbenchError` if two cells differ in nothing that could change a number.
    """
    by_name: dict[str, Cell] = {}
    for cell, hashes in cells:
        name = fingerprint(cell, hashes)
        if by_name.setdefault(name, cell) != cell:
            raise ScbenchError(
                f"two cells of {cell.method_name} on {cell.task.name} differ only in options that change no number "
                "(task.limit, model.parallel, a copy of task.data or of a method's file, or of the engine): give each "
                "one value"
            )
    return by_name


def source_id(cell: Cell, hashes: Mapping[str, Any]) -> str:
    """12 hexadecimal digits that name the sessions a cell reads; `hashes` are those of its sessions."""
    return digest({"task": cell.task.to_dict(), "hashes": hashes}, 12)


def family_id(cell: Cell, bundle: bool = False) -> str:
    """12 hexadecimal digits of what a family shares: model, engine, sessions, history, fit, prompts, prefill.

    Not the method nor the mode; but the original's prompts share too few tokens between the modes. In a `bundle` each
    prefill is made of the same text, so only what rewrites it stays apart.
    """
    shared = {
        "model": cell.model.to_dict(),
        "engine": cell.engine.to_dict(),
        "task": cell.task.to_dict(),
        "history": cell.history,
        "max_turns": cell.max_turns,
        "fit": cell.fit,
        "prompt_style": cell.prompt_style,
        "mode": cell.mode.to_dict() if cell.prompt_style == "ref" else None,
        "prefill": [
            part for method in cell.methods if (method.type.rewrites or not bundle) and (part := _prefill(method, cell))
        ],
    }
    return digest(shared, 12)


def _prefill(method: Choice, cell: Cell) -> Any:
    """What of a method changes the prefill: all its options and its budget where it acts there, nothing otherwise."""
    if method.type.family_key == "dense":
        return None
    return [method.to_dict(), cell.budget if method.type.uses_budget else None]


def digest(data: Any, digits: int) -> str:
    """The first hexadecimal digits of the SHA-256 of plain data in canonical JSON."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:digits]
