"""The devices that a plan knows: what they reach, by the name that a site gives in its profile."""

from __future__ import annotations

from dataclasses import dataclass

from scbench.errors import ScbenchError
from scbench.nearest import hint

GIB = 2**30


@dataclass(frozen=True)
class Device:
    """What a device reaches: operations per second in matrix products, bytes per second when it reads memory.

    `memory` are the bytes of one GPU; None for a CPU, which uses the job's own memory.
    """

    name: str
    flops: float
    bandwidth: float
    memory: int | None = None

    @property
    def is_gpu(self) -> bool:
        """Whether a job has to ask for it."""
        return self.memory is not None


def cpu(cores: int) -> Device:
    """A CPU with so many cores; bandwidth hardly grows with them.

    Measured with SmolLM2-135M in fp32 on two cores: 400 tokens/s of prefill, 12 steps/s of decoding.
    """
    return Device("cpu", 5.4e10 * cores, 6.5e9)


def _gpu(name: str, teraflops: float, terabytes: float, gibibytes: int) -> Device:
    """A GPU at half of its data sheet's dense half-precision products and of its bandwidth: not measured."""
    return Device(name, teraflops / 2 * 1e12, terabytes / 2 * 1e12, gibibytes * GIB)


GPUS = {
    gpu.name: gpu
    for gpu in (
        _gpu("v100", 125, 0.9, 32),
        _gpu("rtx4090", 165, 1.0, 24),
        _gpu("a40", 150, 0.7, 48),
        _gpu("l40s", 362, 0.86, 48),
        _gpu("a100", 312, 2.0, 80),
        _gpu("h100", 989, 3.35, 80),
        _gpu("h200", 989, 4.8, 141),
        _gpu("b200", 2250, 8.0, 180),
        _gpu("mi300x", 1307, 5.3, 192),
    )
}
GPU = GPUS["a100"]  # where nothing says which


def named(name: str, cores: int) -> Device:
    """The device of that name: `cpu`, `gpu` (an A100), or a GPU of the table; raises `ScbenchError`."""
    if name == "cpu":
        return cpu(cores)
    if name in ("gpu", "cuda"):
        return GPU
    if name not in GPUS:
        raise ScbenchError(f"device={name} is not known; {hint(name, ('cpu', 'gpu', *GPUS))}")
    return GPUS[name]
