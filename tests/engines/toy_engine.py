"""An engine for tests: transformers' own `generate`, in a worker of its own that can be told to misbehave."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from scbench.engines.worker import WorkerOptions


@dataclass(frozen=True)
class ToyOptions(WorkerOptions):
    """`fault` is what the worker does wrong, `at` the ask (from 0) at which it does, in every life if `again`."""

    name: ClassVar[str] = "toy"
    script: ClassVar[str] = str(Path(__file__).parent / "toy_worker.py")
    packages: ClassVar[tuple[str, ...]] = ("transformers",)
    install: ClassVar[str] = "the tests' own interpreter has it"

    fault: str = ""
    at: int = 1
    mark: str = ""  # a file that says that the fault has happened, so that it happens once
