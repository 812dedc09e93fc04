"""What a site's profile says of its jobs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from scbench.errors import ScbenchError
from scbench.grid.demand import Need
from scbench.grid.devices import Device, device_here, named


@dataclass(frozen=True)
class Site:
    """What a job gets: the `device`, and CPU `cores`. Those that ask for up to `short` minutes share an allocation.

    `extra` are further options of sbatch. `max_minutes` and `max_mb` are the most that the site gives to a job.
    """

    device: Device
    cores: int
    short: int = 0
    extra: str = ""
    max_minutes: int | None = None
    max_mb: int | None = None

    def grants(self, need: Need) -> Need:
        """What a job asks for, as far as the site has it: more would never start, or be refused."""
        minutes, memory = (most or math.inf for most in (self.max_minutes, self.max_mb))
        return replace(need, minutes=int(min(need.minutes, minutes)), mem_mb=int(min(need.mem_mb, memory)))


def site_of(defaults: Mapping[str, Any], cores: int) -> Site:
    """Read from a profile's default resources, plain values by name.

    They are `device` (else this machine's), `cpus_per_task` (else `cores`), `short`, `slurm_extra`, and `max_minutes`
    and `max_mb` (else without a limit). Raises `ScbenchError` for a device that is not known, and for numbers that are
    none.
    """
    device = defaults.get("device")
    mine = _number(defaults, "cpus_per_task", cores)
    known = device_here(mine) if device is None else named(_bare(str(device)), mine)
    most = [_number(defaults, name, 0) or None for name in ("max_minutes", "max_mb")]
    return Site(known, mine, _number(defaults, "short", 0), _bare(str(defaults.get("slurm_extra", ""))), *most)


def _number(defaults: Mapping[str, Any], name: str, otherwise: int) -> int:
    value = str(defaults.get(name, otherwise))
    if not value.isdecimal():
        raise ScbenchError(f"default-resources: {name}={value} is no number")
    return int(value)


def _bare(text: str) -> str:
    """Without the quotation marks that keep a text from being read as an expression."""
    return text.strip("'\"")
