"""The sizes of a family, from its cells and its model's configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scbench.config.cell import Cell, Choice
from scbench.grid.demand import Demand
from scbench.grid.estimate import COPIES, Work, shape_of
from scbench.grid.published_sizes import SIZES

HALF, SINGLE = 2, 4  # bytes of a number


def demand(cells: Sequence[Cell], config: Mapping[str, Any] | None) -> Demand | None:
    """What one family's cells are made of; None if the model's shape or the sizes of its sessions are not known.

    `config` is the model's `config.json`, None where it is not on this machine.
    """
    first = cells[0]
    work = _work(cells, config)
    if config is None or work is None or not first.engine.type.local:
        return None
    dtype = first.model.options.get("dtype", "auto")
    try:
        shape = shape_of(config, SINGLE if dtype == "float32" else HALF)
    except KeyError:  # no plain transformer, for which alone the formula holds
        return None
    device = str(first.engine.options.get("device", "auto"))
    return Demand(shape, work, dtype == "auto", device, first.model.options.get("parallel", 1))


def _work(cells: Sequence[Cell], config: Mapping[str, Any] | None) -> Work | None:
    first = cells[0]
    task = first.task.options
    sessions, context, turns = task.get("limit"), task.get("length"), task.get("turns")
    if task.get("data") is not None:
        published = SIZES.get(getattr(first.task.type, "published", ""))
        if published is None:
            return None
        window = _window(first.model, config) or published.context
        sessions = min(published.sessions, sessions or published.sessions)
        context, turns = min(published.context, window), min(published.turns, first.max_turns or published.turns)
    elif first.max_turns is not None:
        turns = first.max_turns
    together = first.engine.options.get("batch") == "family"
    match (sessions, context, turns, task.get("max_new_tokens")):
        case (int(), int(), int(), int(tokens)):
            copies = len(cells) if together else COPIES
            return Work(len(cells), sessions, context, turns, tokens, copies, _prefills(cells, turns), _serial(first))
    return None


def _prefills(cells: Sequence[Cell], turns: int) -> int:
    """Of one session: a cell that sees every question has one each; the others share one, where the engine can."""
    each = sum(cell.query == "each" for cell in cells)
    others = len(cells) - each
    return each * turns + (min(1, others) if cells[0].engine.type.shares else others)


def _serial(cell: Cell) -> bool:
    """Whether an answer waits for the one before: it is part of the next prompt, or the engine takes one at a time."""
    return cell.history == "generated" or bool(cell.engine.type.serial)


def _window(model: Choice, config: Mapping[str, Any] | None) -> int | None:
    given = model.options.get("window")
    found = (config or {}).get("max_position_embeddings") if given is None else given
    return found if isinstance(found, int) else None
