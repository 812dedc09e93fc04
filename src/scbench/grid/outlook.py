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
        f"{manifest.path}: {len(manifest.cells)} cells in {len(families)} families, "
        f"{len(jobs)} jobs, of which {done} are done"
    )
    known = [family.demand for family in families if family.demand is not None]
    if known:
        yield f"estimate: {_price(known, device)} if nothing is there yet; {_memory(known, device)}"
    if device.is_gpu:
        yield from _narrow(manifest, device)
    if len(known) < len(families):
        unknown = len(families) - len(known)
        yield (
            f"no estimate for {unknown} families: the sizes of their models or data are not known, or a server computes"
        )


def _narrow(manifest: Manifest, device: Device) -> Iterator[str]:
    """Per model whose families do not fit the device: over how many it would have to be spread."""
    least: dict[str, list[int | None]] = {}
    for family in manifest.families:
        if (sizes := family.demand) is not None:
            needs, model = sizes.fitting(device), manifest.cells[family.cells[0]].model.name
            if needs is None or needs > sizes.parallel:
                least.setdefault(model, []).append(needs)
    for model, counts in least.items():
        room = [count for count in counts if count is not None]
        enough = len(room) == len(counts)
        helps = f"model.{model}.parallel={max(room)} would give them room" if enough else "no number of them is enough"
        yield f"{len(counts)} families of {model} do not fit their {device.name}: {helps}"


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
