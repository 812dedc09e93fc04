"""From a session and the cells that lack it to the engine's jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from scbench.config.cell import Cell
from scbench.engine.failure import Failure
from scbench.engine.session import Job
from scbench.errors import ScbenchError
from scbench.methods.budget import Budget
from scbench.models.model import LoadedModel
from scbench.modes import MULTI_REQUEST, build_layout, fit_middle, with_query
from scbench.prompts.dialogue import Dialogue, build_dialogue
from scbench.prompts.reference_dialogue import build_reference
from scbench.tasks.base import Task
from scbench.tasks.session import Session


@dataclass(frozen=True)
class Work:
    """A session's jobs, one per cell, and what is known of it before the engine starts.

    `cut` is the number of context tokens that were dropped to fit the model's window. If the session cannot be
    asked at all, `failure` says why and there are no jobs.
    """

    session: Session
    cells: Mapping[str, Cell]
    jobs: tuple[Job, ...] = ()
    stop: frozenset[int] = frozenset()
    cut: int = 0
    failure: Failure | None = None


def prepare(session: Session, cells: Mapping[str, Cell], loaded: LoadedModel) -> Work:
    """Ask a session's questions in every cell's mode. The cells are of one family: same task, turns, history, style."""
    some = next(iter(cells.values()))
    task = some.task.build()
    session = replace(session, turns=session.turns[: some.max_turns])
    limits = task.answer_limits(session)
    try:
        dialogue, cut = _dialogue(session, task, some, loaded, limits)
        jobs = tuple(_job(name, cell, dialogue, limits) for name, cell in cells.items())
    except ScbenchError as error:
        return Work(session, cells, failure=Failure.of(error))
    return Work(session, cells, jobs, dialogue.stop | loaded.stop, cut)


def _dialogue(
    session: Session, task: Task, cell: Cell, loaded: LoadedModel, limits: tuple[int, ...]
) -> tuple[Dialogue, int]:
    """The session's dialogue in the cell's style, fitted to the model's window, and the tokens that this cost."""
    if cell.prompt_style == "ref":
        return build_reference(
            session,
            loaded.tokenizer,
            requests=cell.mode.build().kind == MULTI_REQUEST,
            history=cell.history,
            window=loaded.window,
            limits=limits,
        )
    return fit_middle(build_dialogue(session, task, loaded.tokenizer), loaded.window, limits, cell.history)


def _job(name: str, cell: Cell, dialogue: Dialogue, limits: tuple[int, ...]) -> Job:
    layout = with_query(build_layout(cell.mode.build(), dialogue, limits, cell.history), cell.query)
    later = len(dialogue.followup) - len(layout.branches)
    feedback = tuple(zip(dialogue.followup, limits, strict=True))[-later:] if later else ()
    budget = None if cell.budget is None else Budget(cell.budget)
    (method,) = cell.methods
    return Job(name, layout, method.build(), budget, feedback)
