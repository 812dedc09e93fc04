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
    fitting = [(sizes.fitting(device), sizes.parallel) for sizes in known]
    narrow = [least for least, parallel in fitting if least is None or least > parallel]
    if narrow and device.is_gpu:
        room = [least for least in narrow if least is not None]
        enough = len(room) == len(narrow)
        helps = f"model.parallel={max(room)} would give them room" if enough else "no number of them is enough"
        yield f"{len(narrow)} families do not fit their {device.name}: {helps}"
    if len(known) < len(families):
        yield f"no estimate for {len(families) - len(known)} families: the sizes of their models or data are not known"


def _price(known: list[Demand], device: Device) -> str:
    seconds = sum(sizes.estimate(device).seconds * max(1, sizes.gpus(device)) for sizes in known)
    if device.is_gpu:
        return f"{seconds / 3600:.3g} GPU hours on {device.name}"
    return f"{_duration(seconds)} on a CPU, one family after the other"


def _memory(known: list[Demand], device: Device) -> str:
    each = " per GPU" if device.is_gpu else ""
    return f"{max(sizes.fullest(device) for sizes in known) / 2**30:.1f} GiB of memory{each}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
