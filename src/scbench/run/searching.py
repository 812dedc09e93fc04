"""The search for MInference's patterns on a sample prompt, and the table that it gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scbench import __version__
from scbench.config.cell import Cell
from scbench.engine.pattern_search import ROWS, Found, search
from scbench.errors import ScbenchError
from scbench.methods.generation import minference_table
from scbench.models.model import identity, load_tokenizer
from scbench.run.loading import load_decoder
from scbench.run.progress import Progress
from scbench.run.work import prepare
from scbench.tasks.sessions import make_sessions

Layers = Sequence[tuple[Found, ...] | None]


@dataclass(frozen=True)
class Searched:
    """What was found per layer and head, for which model, and all that it depends on."""

    layers: Layers
    model: str
    source: Mapping[str, Any]

    @property
    def text(self) -> str:
        """The table as the text of its file, with the recall and the density of every head."""

        def rows(what: str, digits: int = 4) -> list[list[float] | None]:
            return [
                None if layer is None else [round(getattr(found, what), digits) for found in layer]
                for layer in self.layers
            ]

        patterns = [None if layer is None else [found.pattern for found in layer] for layer in self.layers]
        numbers = {what: rows(what) for what in ("recall", "density")}
        return minference_table.text(patterns, self.model, self.source, **numbers)

    @property
    def heads(self) -> list[Found]:
        """All heads in one list."""
        return [found for layer in self.layers if layer is not None for found in layer]

    @property
    def kinds(self) -> Counter[str]:
        """How many heads follow each kind of pattern."""
        return Counter(found.pattern.kind for found in self.heads)


def search_table(cell: Cell, budget: float, progress: Progress) -> Searched:
    """Search on the base of the task's first session in the cell's mode; raises `ScbenchError` if it cannot be had.

    The cell's one method is MInference, whose options say how lines are looked for.
    """
    model, task = cell.model.build(), cell.task.build()
    known = identity(model)  # says it plainly when there is no such model
    session = next(make_sessions(task, load_tokenizer(model)))
    loaded, decoder = load_decoder(cell)
    work = prepare(session, {"search": cell}, loaded, decoder)
    if work.failure is not None:
        raise ScbenchError(f"search-minference: session {session.id}: {work.failure.detail}")
    layout = work.jobs[0].layout
    ids = layout.trunk[: layout.base]
    progress.session(0, 1, session.id)
    method = cell.methods[0].build()
    layers = search(decoder, ids, method, budget, lambda done, total: progress.phase("search", done, total, "layers"))
    source = {
        "search": f"scbench {__version__}",
        "model": known,
        "task": cell.task.to_dict(),
        "mode": cell.mode.name,
        "prompt_style": cell.prompt_style,
        "session": session.id,
        "tokens": len(ids),
        "budget": budget,
        "rows": ROWS,
        **{option: getattr(method, option) for option in ("last", "first", "near", "block")},
    }
    return Searched(layers, model.path, source)
