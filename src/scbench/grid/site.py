"""What a site's profile says of its jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scbench.errors import ScbenchError
from scbench.grid.devices import Device, device_here, named


@dataclass(frozen=True)
class Site:
    """What a job gets: the `device`, and CPU `cores`. Those that ask for up to `short` minutes share an allocation.

    `extra` are further options of sbatch.
    """

    device: Device
    cores: int
    short: int = 0
    extra: str = ""


def site_of(defaults: Mapping[str, Any], cores: int) -> Site:
    """Read from a profile's default resources, plain values by name.

    They are `device` (else this machine's), `cpus_per_task` (else `cores`), `short` and `slurm_extra`. Raises
    `ScbenchError` for a device that is not known, and for numbers that are none.
    """
    device = defaults.get("device")
    mine = _number(defaults, "cpus_per_task", cores)
    known = device_here(mine) if device is None else named(_bare(str(device)), mine)
    return Site(known, mine, _number(defaults, "short", 0), _bare(str(defaults.get("slurm_extra", ""))))


def _number(defaults: Mapping[str, Any], name: str, otherwise: int) -> int:
    value = str(defaults.get(name, otherwise))
    if not value.isdecimal():
        raise ScbenchError(f"default-resources: {name}={value} is no number")
    return int(value)


def _bare(text: str) -> str:
    """Without the quotation marks that keep a text from being read as an expression."""
    return text.strip("'\"")
