"""What a family is expected to need on this machine, from its cells: the edge of `scbench.grid.estimate`."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

from scbench.config.cell import Cell, Choice
from scbench.grid.estimate import GPU, Device, Estimate, Work, cpu, estimate, shape_of
from scbench.models.files import local_config


def forecast(cells: Sequence[Cell]) -> Estimate | None:
    """The estimate for one family's cells; None if the model's shape or the number of sessions is not known here."""
    first = cells[0]
    task = first.task.options
    config = local_config(first.model.build())
    if task.get("data") is not None:  # whose sizes are known only when it is read
        return None
    sizes = [task.get("limit"), task.get("length"), first.max_turns or task.get("turns"), task.get("max_new_tokens")]
    known = [size for size in sizes if isinstance(size, int)]
    if config is None or len(known) < len(sizes):
        return None
    device = device_of(first.engine)
    try:
        shape = shape_of(config, _value_bytes(first.model, device))
    except KeyError:  # no plain transformer, for which alone the formula holds
        return None
    return estimate(shape, Work(len(cells), *known), device)


def resources(cells: Sequence[Cell]) -> dict[str, int]:
    """For the workflow: `mem_mb`, and `runtime` in minutes (5 + 3 × the estimate); empty if unknown."""
    expected = forecast(cells)
    if expected is None:
        return {}
    return {
        "mem_mb": math.ceil(expected.memory / 2**20),
        "runtime": 5 + math.ceil(3 * expected.seconds / 60),
    }


def device_of(engine: Choice) -> Device:
    """The device that the engine will take here."""
    wanted = engine.options.get("device", "auto")
    if wanted == "cuda" or (wanted == "auto" and Path("/dev/nvidia0").exists()):
        return GPU
    return cpu(os.cpu_count() or 1)


def _value_bytes(model: Choice, device: Device) -> int:
    """Bytes of one stored number; `auto` is single precision on a CPU and half elsewhere."""
    dtype = model.options.get("dtype", "auto")
    return 4 if dtype == "float32" or (dtype == "auto" and device is not GPU) else 2
