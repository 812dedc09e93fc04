"""What a sweep will take, in a few lines, before anything runs."""

from __future__ import annotations

from collections.abc import Iterator

from scbench.grid.demand import Demand
from scbench.grid.devices import Device
from scbench.grid.manifest import Manifest


def outlook(manifest: Manifest, device: Device) -> Iterator[str]:
    """How many cells, families and jobs; the hours that an empty results folder takes; what does not fit."""
    families, jobs = manifest.families, manifest.stamps()
    done = sum(stamp.exists() for stamp in jobs)
    yield (
        f"{manifest.path}: {len(manifest.cells)} cells in {len(families)} families (one prefill each), "
        f"{len(jobs)} jobs, of which {done} are done"
    )
    known = [family.demand for family in families if family.demand is not None]
    if known:
        yield f"estimate: {_price(known, device)} if nothing is there yet; {_memory(known, device)}"
    narrow = [sizes for sizes in known if sizes.fitting(device) > sizes.parallel]
    if narrow and device.is_gpu:
        most = max(sizes.fitting(device) for sizes in narrow)
        yield f"{len(narrow)} families do not fit their {device.name}: model.parallel={most} would give them room"
    if len(known) < len(families):
        yield f"no estimate for {len(families) - len(known)} families: the sizes of their models or data are not known"


def _price(known: list[Demand], device: Device) -> str:
    seconds = sum(sizes.estimate(device).seconds * max(1, sizes.gpus(device)) for sizes in known)
    if device.is_gpu:
        return f"{seconds / 3600:.3g} GPU hours on {device.name}"
    return f"{_duration(seconds)} on a CPU, one family after the other"


def _memory(known: list[Demand], device: Device) -> str:
    return f"{max(sizes.estimate(device).memory for sizes in known) / 2**30:.1f} GiB of memory"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
