"""Options of the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from scbench.errors import ScbenchError

DEVICES = ("auto", "cpu", "cuda")
STOREYS = ("auto", "reference")


@dataclass(frozen=True)
class EngineConfig:
    """`device` to run on; `chunk` tokens per prefill step; `kernels` storey; `timeout` seconds per session and cell.

    `NOT_HASHED` are the options that cannot change what is computed, only when and how fast.
    """

    NOT_HASHED: ClassVar[tuple[str, ...]] = ("chunk", "timeout")

    device: str = "auto"
    chunk: int = 1024
    kernels: str = "auto"
    timeout: float | None = None

    def __post_init__(self) -> None:
        for name, value, allowed in (("device", self.device, DEVICES), ("kernels", self.kernels, STOREYS)):
            if value not in allowed:
                raise ScbenchError(f"engine.{name}={value}: expected one of {', '.join(allowed)}")
        if self.chunk < 1:
            raise ScbenchError(f"engine.chunk={self.chunk}: expected at least 1 token")
