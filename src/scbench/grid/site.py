"""What a site's profile says of its jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scbench.errors import ScbenchError
from scbench.grid.devices import Device
from scbench.grid.forecast import device_of


@dataclass(frozen=True)
class Site:
    """The `device` of a job; jobs that ask for up to `short` minutes share an allocation (0: none does)."""

    device: Device
    short: int = 0


def site_of(defaults: Mapping[str, Any], cores: int) -> Site:
    """Read from a profile's default resources, plain values by name: `device` (else this machine's) and `short`.

    A CPU has so many `cores`. Raises `ScbenchError` for a device that is not known, and for minutes that are no number.
    """
    device, short = defaults.get("device"), defaults.get("short", 0)
    if not str(short).isdecimal():
        raise ScbenchError(f"default-resources: short={short} is no number of minutes")
    return Site(device_of(None if device is None else str(device).strip("'\""), cores), int(short))
