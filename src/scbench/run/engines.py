"""What answers a family's sessions: our own engine in this process, or one beside it. Nothing else asks which."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from scbench.config.cell import Cell
from scbench.engine.config import EngineConfig
from scbench.engine.job import Done
from scbench.engine.session import run_session
from scbench.engines.asking import Asked, ask_session
from scbench.engines.options import ExternalOptions
from scbench.engines.protocol import Client
from scbench.models.model import ModelText, load_text
from scbench.run.loading import Load, Loaded
from scbench.run.progress import Progress
from scbench.run.recording import code, provenance
from scbench.run.work import Work, prepare
from scbench.tasks.session import Session

_log = logging.getLogger(__name__)


class Answerer(Protocol):
    """A model that is ready to answer; `text` is how it is asked and read, `provenance` that of its records."""

    @property
    def text(self) -> ModelText:
        """The model's tokenizer, window and stop ids."""

    @property
    def provenance(self) -> Mapping[str, str]:
        """Where its numbers come from."""

    def prepare(self, session: Session, cells: Mapping[str, Cell]) -> Work:
        """The session's jobs; see `scbench.run.work.prepare`."""

    def answers(self, work: Work, progress: Progress) -> Iterator[Done]:
        """Every job with its turns, or the failure that ended it, each as soon as it is there."""

    def close(self) -> None:
        """End what was started for it."""


def opened(cell: Cell, load: Load, log: Path) -> Answerer:
    """The cell's engine with its model; an engine beside ours prints to the file `log`. Raises `ScbenchError`."""
    if cell.engine.type.external:
        options: ExternalOptions = cell.engine.build()
        model = cell.model.build()
        return External(options, load_text(model), options.connect(model, log))
    return Own(load(cell), cell.engine.build())


@dataclass(frozen=True)
class Own:
    """Our own engine."""

    loaded: Loaded
    config: EngineConfig

    @property
    def text(self) -> ModelText:
        """The model's tokenizer, window and stop ids."""
        return self.loaded[0]

    @property
    def provenance(self) -> Mapping[str, str]:
        """Where its numbers come from."""
        return provenance(self.loaded[0])

    def prepare(self, session: Session, cells: Mapping[str, Cell]) -> Work:
        """The session's jobs."""
        return prepare(session, cells, *self.loaded)

    def answers(self, work: Work, progress: Progress) -> Iterator[Done]:
        """Every job with its turns."""

        def phase(name: str, done: int, total: int) -> None:
            progress.phase(name, done, total, "tokens")

        return run_session(self.loaded[1], work.jobs, work.stop, self.config, phase, work.longest)

    def close(self) -> None:
        """The model stays: the next family may want it."""


@dataclass(frozen=True)
class External:
    """An engine that is not our own, and the connection to it."""

    options: ExternalOptions
    text: ModelText
    client: Client

    @property
    def provenance(self) -> Mapping[str, str]:
        """Where its numbers come from."""
        return {**code(), "engine": self.options.name, "model_commit": self.text.commit, **self.client.about.provenance}

    def prepare(self, session: Session, cells: Mapping[str, Cell]) -> Work:
        """The session's jobs; nothing rewrites text here."""
        return prepare(session, cells, self.text, None)

    def answers(self, work: Work, progress: Progress) -> Iterator[Done]:
        """Every job with its turns."""

        def phase(name: str, done: int, total: int) -> None:
            progress.phase(name, done, total, "answers")

        asked = Asked(work.session.id, work.stop, self.options.timeout, phase)
        return ask_session(self.client, work.jobs, {name: _method(cell) for name, cell in work.cells.items()}, asked)

    def close(self) -> None:
        """End the engine."""
        self.client.close()


def _method(cell: Cell) -> Mapping[str, object]:
    """What the cell's one method says of itself."""
    return {**cell.methods[0].to_dict(), "budget": cell.budget, "query": cell.query, "compress": cell.compress}
