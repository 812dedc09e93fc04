"""What a job of the workflow asks for, on the device that a site has: GPUs, memory, minutes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from scbench.config.cell import Cell, RunConfig
from scbench.grid.devices import GPU, Device, cpu
from scbench.grid.estimate import Estimate, Shape, Work, estimate, fullest

RUNTIME = 2**30  # bytes of interpreter and libraries on a CPU
GPU_RUNTIME = 8 * 2**30  # the same with CUDA's, in the job's own memory
USABLE = 0.9  # of a GPU's memory
FACTOR, START = 3, 5  # minutes asked for: START + FACTOR × the estimate
CORES = 4  # of a machine with GPUs, for an engine that is told to take its CPU
UNKNOWN_MB, UNKNOWN_MINUTES = 16000, 240  # where the sizes of a family are not known


@dataclass(frozen=True)
class Demand:
    """The sizes of a family, whatever device it will run on.

    `shape` has the bytes of a value as on a GPU; `single` says that a CPU takes four. `device` is the engine's option
    (`auto`, `cpu`, `cuda`), `parallel` the number of devices that its configuration spreads the model over.
    """

    shape: Shape
    work: Work
    single: bool
    device: str
    parallel: int = 1

    def on(self, site: Device) -> Device:
        """The device that the engine will take on a site's machines."""
        if self.device == "cuda" and not site.is_gpu:
            return GPU
        return cpu(CORES) if self.device == "cpu" and site.is_gpu else site

    def gpus(self, site: Device) -> int:
        """How many GPUs a job asks for: those that the model is spread over, or none on a CPU."""
        return self.parallel if self.on(site).is_gpu else 0

    def fullest(self, site: Device) -> int:
        """Bytes on the fullest of the job's GPUs, or on its CPU."""
        return fullest(self.shape, self.work, self.parallel) if self.gpus(site) else self.estimate(site).memory

    def fitting(self, site: Device) -> int | None:
        """The least `model.parallel` whose fullest GPU has room (`USABLE`); 0 on a CPU, None if there is none."""
        device = self.on(site)
        if device.memory is None:
            return 0
        room = USABLE * device.memory
        counts = range(1, self.shape.layers + 1)
        return next((count for count in counts if fullest(self.shape, self.work, count) <= room), None)

    def estimate(self, site: Device) -> Estimate:
        """Time and memory of the whole family."""
        device = self.on(site)
        shape = self.shape if device.is_gpu or not self.single else replace(self.shape, value_bytes=4)
        return estimate(shape, self.work, device)


@dataclass(frozen=True)
class Need:
    """What one job asks for; `mem_mb` is the machine's memory, not the GPU's. `hours` is the estimate, unpadded."""

    gpus: int
    mem_mb: int
    minutes: int
    hours: float | None

    def at(self, attempt: int, tries: int) -> Need:
        """At a later attempt, more of it; what comes after the last try has little to do (`scbench.run.tries`)."""
        if attempt > tries:
            return replace(self, minutes=max(self.minutes, START))
        return replace(self, mem_mb=self.mem_mb * attempt, minutes=self.minutes * attempt)


def spread(cell: Cell) -> int:
    """Over how many GPUs a job of this cell's family spreads its model, where there are any.

    None on a CPU, and for an engine that asks a server.
    """
    on_cpu = cell.engine.options.get("device") == "cpu" or not cell.engine.type.local
    return 0 if on_cpu else int(cell.model.options.get("parallel", 1))


def need(demand: Demand | None, device: Device, shards: int, run: RunConfig, spread: int = 1) -> Need:
    """What a job of a family in so many shards asks for; what `run` sets is taken as it is.

    `spread` is for families whose sizes are not known.

    gpus    = model.parallel on a GPU (a plan says where `Demand.fitting` finds that too few), else none
    mem_mb  = on a GPU, GPU_RUNTIME and the weights once (they pass through); on a CPU, RUNTIME and the estimate's
    minutes = START + FACTOR × the estimate, shared by the shards
    """
    if demand is None:
        known = Need(spread if device.is_gpu else 0, UNKNOWN_MB, UNKNOWN_MINUTES, None)
    else:
        expected, gpus = demand.estimate(device), demand.gpus(device)
        memory = GPU_RUNTIME + demand.shape.weights if gpus else RUNTIME + expected.memory
        seconds = expected.seconds / shards
        known = Need(gpus, math.ceil(memory / 2**20), START + math.ceil(FACTOR * seconds / 60), seconds / 3600)
    return replace(
        known,
        gpus=known.gpus if run.gpus is None else run.gpus,
        mem_mb=known.mem_mb if run.mem_mb is None else run.mem_mb,
        minutes=known.minutes if run.runtime is None else run.runtime,
    )
