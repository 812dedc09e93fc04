"""`engine=kvpress`: NVIDIA's kvpress (arXiv 2510.00636) on transformers, in an environment of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from scbench.engine.config import DEVICES
from scbench.engines.worker import WorkerOptions
from scbench.errors import ScbenchError
from scbench.methods.budget import Budget
from scbench.methods.kvpress.base import DROPPED, Press
from scbench.methods.kvpress.presses import PRESSES, FinchPress
from scbench.modes import MULTI_REQUEST
from scbench.nearest import hint

if TYPE_CHECKING:
    from scbench.config.cell import Cell, Choice

RATIO = "compression_ratio"


@dataclass(frozen=True)
class KvpressOptions(WorkerOptions):
    """`device` to run on; `chunk` tokens at a time of what follows the base, which is read in one pass."""

    name: ClassVar[str] = "kvpress"
    serial: ClassVar[bool] = True
    NOT_HASHED: ClassVar[tuple[str, ...]] = ("timeout", "python", "chunk")
    script: ClassVar[str] = "kvpress_worker.py"
    packages: ClassVar[tuple[str, ...]] = ("kvpress", "transformers", "torch")
    install: ClassVar[str] = "`make kvpress` installs it"

    python: str = ".venv-kvpress/bin/python"
    device: str = "auto"
    chunk: int = 256

    def __post_init__(self) -> None:
        if self.device not in DEVICES:
            raise ScbenchError(f"engine.device={self.device}: expected one of {', '.join(DEVICES)}")
        if self.chunk < 1:
            raise ScbenchError(f"engine.chunk={self.chunk}: expected at least 1 token")

    def check(self, cell: Cell) -> None:
        """Refuse presses that are not told what they need, and what kvpress cannot do."""
        super().check(cell)
        method = cell.methods[0]
        if not issubclass(method.type, Press):
            return
        reason = next(_refusals(cell, method), None)
        if reason is not None:
            raise ScbenchError(f"method={method.name}: {reason}")


def _refusals(cell: Cell, method: Choice) -> Iterator[str]:
    """Why the cell cannot run, if it cannot."""
    press: type[Press] = method.type
    requests = cell.mode.options["kind"] == MULTI_REQUEST
    yield from _told(press, method.options)
    if cell.query == "aware" and requests:
        yield "it keeps all that it has seen, so it cannot have seen a question that is not there; query=free or each"
    if cell.query == "free" and press is FinchPress:
        yield f"it chooses by the question; {'query=each' if requests else 'query=aware or each'}"
    if cell.compress != "once" and not requests and cell.query != "each":
        yield "kvpress compresses the base alone; compress=once"
    if cell.budget is not None and press.uses_budget:
        if Budget(cell.budget).in_bytes and press.mark != DROPPED:
            yield f"it stores and touches all of the base ({press.mark}); give a budget in tokens or a share"
        if any(ratio for ratio in _ratios(method.options)):
            yield f"budget={cell.budget} sets its {RATIO}, which is given too; give one of them"


def _told(press: type[Press], options: Mapping[str, Any]) -> Iterator[str]:
    """What its options lack of other presses, or have wrong about them."""
    for option in press.inner:
        given = options.get(option)
        if given is None:
            yield f"it needs another press: method.{option}=SnapKVPress, or method.{option}={{SnapKVPress: {{…}}}}"
            continue
        for spec in given if isinstance(given, list | tuple) else (given,):
            yield from _wrong(option, spec)


def _wrong(option: str, spec: Any) -> Iterator[str]:
    """What is wrong with a press that is named inside another one."""
    named = {spec: {}} if isinstance(spec, str) else spec
    if not isinstance(named, Mapping) or len(named) != 1:
        yield f"{option}={spec}: expected the name of a press, or {{NAME: {{option: value}}}}"
        return
    (name, options), *_ = named.items()
    if name not in PRESSES:
        yield f"{option}: there is no press '{name}'; {hint(str(name), PRESSES)}"
        return
    known = PRESSES[name].defaults()
    for key in options or {}:
        if key not in known:
            yield f"{option}: {name} has no option '{key}'; {hint(str(key), known)}"
    yield from _told(PRESSES[name], options or {})


def _ratios(options: Mapping[str, Any]) -> Iterator[float]:
    """The compression ratios that a press is told, those of presses inside it too."""
    for key, value in options.items():
        if key == RATIO:
            yield value
        elif isinstance(value, Mapping):
            yield from _ratios(value)
