"""What every engine that is not our own declares: its options, what it runs, and how it is started."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from scbench.errors import ScbenchError
from scbench.methods.generation.dense import Dense

if TYPE_CHECKING:
    from scbench.config.cell import Cell
    from scbench.engines.protocol import Client
    from scbench.models.model import ModelConfig


@dataclass(frozen=True)
class ExternalOptions(ABC):
    """Options of an engine that is not our own; `timeout` seconds per session and cell.

    Class attributes: `name` of the engine, as methods of its own say it (`Method.engine`); `NOT_HASHED` the options
    that cannot change what is computed; `local` whether it computes on the job's own device, `spreads` whether it can
    lay a model over several, `shares` whether cells share a prefill, `serial` whether a session's answers come one
    after the other; `fidelity` and `diagnostics`, which it does not measure, so that the fields are
    absent from its records.
    """

    external: ClassVar[bool] = True
    name: ClassVar[str] = ""
    NOT_HASHED: ClassVar[tuple[str, ...]] = ("timeout",)
    local: ClassVar[bool] = True
    spreads: ClassVar[bool] = False
    shares: ClassVar[bool] = False
    serial: ClassVar[bool] = False
    fidelity: ClassVar[str] = "none"
    diagnostics: ClassVar[str] = "none"

    timeout: float | None = None

    def check(self, cell: Cell) -> None:
        """Raise `ScbenchError` where it cannot run a cell of this configuration; asked when the sweep is planned."""
        if not self.spreads and cell.model.options.get("parallel", 1) > 1:
            raise ScbenchError(f"engine={self.name} spreads no model over devices: leave model.parallel out")
        if len(cell.methods) > 1:
            raise ScbenchError(f"engine={self.name} runs one method at a time, not {cell.method_name}")
        for method in cell.methods:
            if method.type is not Dense and method.type.engine != self.name:
                raise ScbenchError(f"engine={self.name} does not run method={method.name}; use engine=own for it")

    @abstractmethod
    def identity(self) -> Mapping[str, str]:
        """What names the engine's own code, for the fingerprint."""

    def ready(self) -> None:  # noqa: B027 - an engine may need nothing
        """Raise `ScbenchError` where it cannot be started here at all; asked before a session is touched."""

    @abstractmethod
    def connect(self, model: ModelConfig, log: Path) -> Client:
        """Start it with a model; raises `ScbenchError` where that fails. What it prints goes to the file `log`."""
