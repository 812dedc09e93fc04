"""Options of the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from scbench.engine.revision import ENGINE_REVISION
from scbench.errors import ScbenchError
from scbench.kernels.storeys import STOREYS

if TYPE_CHECKING:
    from scbench.config.cell import Cell

DEVICES = ("auto", "cpu", "cuda")
METHOD, FAMILY = "method", "family"
BATCHES = (METHOD, FAMILY)
NONE, GOLD, AUTO, KL = "none", "gold", "auto", "kl"
FIDELITIES = (NONE, GOLD, AUTO, KL)
ATTENTION = "attention"
DIAGNOSTICS = (NONE, ATTENTION)


@dataclass(frozen=True)
class EngineConfig:
    """`device` to run on; `chunk` tokens per prefill step; `kernels` storey; `timeout` seconds per session and cell;
    `batch`: each `method` decodes its branches alone, so that its times are its own, or the branches of the whole
    `family` share one batch, which is several times faster and holds all their caches. `fidelity`: per turn the
    log-likelihood of the gold answer (`gold`), and its divergence from the dense cache where the family has a dense
    prefill anyway (`auto`) or everywhere (`kl`), or nothing (`none`). `diagnostics=attention` reads every
    answer again over the dense cache, to see where it looks and what of that the method holds.

    `NOT_HASHED` are the options that cannot change what is computed, only when and how fast; `model.` is before those
    of the model: here a layer is computed as ever, on whichever device. `external` says that this engine needs no other
    interpreter or host; the other class attributes are explained in `scbench.engines.options`.
    """

    external: ClassVar[bool] = False
    name: ClassVar[str] = "own"
    local: ClassVar[bool] = True
    shares: ClassVar[bool] = True
    serial: ClassVar[bool] = False
    NOT_HASHED: ClassVar[tuple[str, ...]] = ("chunk", "timeout", "batch", "model.parallel")

    device: str = "auto"
    chunk: int = 1024
    kernels: str = "auto"
    timeout: float | None = None
    batch: str = METHOD
    fidelity: str = AUTO
    diagnostics: str = NONE

    def __post_init__(self) -> None:
        known = (
            ("device", self.device, DEVICES),
            ("kernels", self.kernels, STOREYS),
            ("batch", self.batch, BATCHES),
            ("fidelity", self.fidelity, FIDELITIES),
            ("diagnostics", self.diagnostics, DIAGNOSTICS),
        )
        for name, value, allowed in known:
            if value not in allowed:
                raise ScbenchError(f"engine.{name}={value}: expected one of {', '.join(allowed)}")
        if self.chunk < 1:
            raise ScbenchError(f"engine.chunk={self.chunk}: expected at least 1 token")

    def check(self, cell: Cell) -> None:
        """Raise `ScbenchError` for methods that only another engine has."""
        for method in cell.methods:
            if method.type.engine != self.name:
                raise ScbenchError(f"method={method.name} runs with engine={method.type.engine}")

    def ready(self) -> None:
        """It is always there."""

    def identity(self) -> int:
        """What names the engine's own code, for the fingerprint."""
        return ENGINE_REVISION
