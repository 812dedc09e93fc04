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
from scbench.modes import build_layout
from scbench.prompts.chat import ChatTokenizer
from scbench.prompts.dialogue import Dialogue, build_dialogue
from scbench.run.fitting import UNCUT, Cut, Fitting, check_questions
from scbench.tasks.session import Session


@dataclass(frozen=True)
class Work:
    """A session's jobs, one per cell, and what is known of it before the engine starts.

    `cut` is what was dropped to fit the model's window. If the session cannot be
    asked at all, `failure` says why and there are no jobs.
    """

    session: Session
    cells: Mapping[str, Cell]
    jobs: tuple[Job, ...] = ()
    stop: frozenset[int] = frozenset()
    cut: Cut = UNCUT
    failure: Failure | None = None


def prepare(session: Session, cells: Mapping[str, Cell], loaded: LoadedModel) -> Work:
    """Ask a session's questions in every cell's mode. The cells are of one family: all but method and mode the same."""
    some = next(iter(cells.values()))
    task = some.task.build()
    session = replace(session, turns=session.turns[: some.max_turns])
    limits = task.answer_limits(session)
    fitting = Fitting(
        task=task,
        window=loaded.window,
        history=some.history,
        fit=some.fit,
        build=lambda part: build_dialogue(part, task, loaded.tokenizer),
        text=lambda tokens: str(loaded.tokenizer.decode(list(tokens), clean_up_tokenization_spaces=False)),
    )
    try:
        dialogue, cut = fitting(session)
        jobs = tuple(_job(name, cell, dialogue, limits) for name, cell in cells.items())
    except ScbenchError as error:
        return Work(session, cells, failure=Failure.of(error))
    return Work(session, cells, jobs, dialogue.stop | loaded.stop, cut)


def check_session(session: Session, cell: Cell, tokenizer: ChatTokenizer, window: int) -> None:
    """Raise `ScbenchError` where a question alone exceeds the window; needs no model. See `check_questions`."""
    task = cell.task.build()
    asked = replace(session, context="", turns=session.turns[: cell.max_turns])
    dialogue = build_dialogue(asked, task, tokenizer)
    check_questions(asked, dialogue, task.answer_limits(asked), window, task.data)


def _job(name: str, cell: Cell, dialogue: Dialogue, limits: tuple[int, ...]) -> Job:
    layout = build_layout(cell.mode.build(), dialogue, limits, cell.history)
    if cell.query == "free":  # the method acts before it can see a question
        layout = replace(layout, base=layout.context)
    later = len(dialogue.followup) - len(layout.branches)
    feedback = tuple(zip(dialogue.followup, limits, strict=True))[-later:] if later else ()
    budget = None if cell.budget is None else Budget(cell.budget)
    (method,) = cell.methods
    return Job(name, layout, method.build(), budget, feedback)
