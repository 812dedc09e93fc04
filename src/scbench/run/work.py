"""From a session and the cells that lack it to the engine's jobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from scbench.config.cell import Cell
from scbench.engine.answer import Decoder
from scbench.engine.config import NONE
from scbench.engine.failure import Failure
from scbench.engine.job import Job
from scbench.methods.budget import Budget
from scbench.methods.compose import compose
from scbench.models.model import ModelText
from scbench.modes import MULTI_REQUEST, Places, Tokens, build_layout, longest_sequence, with_query
from scbench.prompts.chat import ChatTokenizer
from scbench.prompts.dialogue import Dialogue, build_dialogue
from scbench.prompts.reference import OriginalError
from scbench.prompts.reference_dialogue import build_reference
from scbench.run.fitting import UNCUT, Cut, Fitting, check_questions
from scbench.run.gold_places import gold_places
from scbench.run.rewriting import Rewriting, rewritten
from scbench.tasks.base import Task
from scbench.tasks.session import Session


@dataclass(frozen=True)
class Work:
    """A session's jobs, one per cell, and what is known of it before the engine starts.

    `cut` is what was dropped to fit the model's window, `longest` the tokens of the longest sequence. If the
    session cannot be asked at all, `failure` says why and there are no jobs. `rewriting` is what a method did to the
    text, if one did.
    """

    session: Session
    cells: Mapping[str, Cell]
    jobs: tuple[Job, ...] = ()
    stop: frozenset[int] = frozenset()
    cut: Cut = UNCUT
    longest: int = 0
    failure: Failure | None = None
    rewriting: Rewriting | None = None


def prepare(session: Session, cells: Mapping[str, Cell], loaded: ModelText, decoder: Decoder | None) -> Work:
    """Ask a session's questions in every cell's mode. The cells are of one family: all but method and mode the same.

    What they do to the prefill is the same too, so a context that is rewritten is rewritten once. An engine that is not
    our own has no `decoder`, and no method that rewrites.
    """
    some = next(iter(cells.values()))
    task = some.task.build()
    session = replace(session, turns=session.turns[: some.max_turns])
    limits = task.answer_limits(session)
    try:
        session, rewriting = rewritten(session, some, decoder, loaded)
        dialogue, cut = _dialogue(session, task, some, loaded, limits)
        places = () if rewriting else gold_places(session, dialogue, _reading(loaded))
        jobs = tuple(_job(name, cell, dialogue, limits, rewriting, places) for name, cell in cells.items())
    except Exception as error:  # a method that rewrites is a user's: it fails its own cells
        return Work(session, cells, failure=Failure.of(error))
    longest = longest_sequence(dialogue, limits, some.history)
    return Work(session, cells, jobs, dialogue.stop | loaded.stop, cut, longest, rewriting=rewriting)


def check_session(session: Session, cell: Cell, tokenizer: ChatTokenizer, window: int) -> None:
    """Raise `ScbenchError` where a question alone exceeds the window; needs no model. See `check_questions`."""
    task = cell.task.build()
    asked = replace(session, context="", turns=session.turns[: cell.max_turns])
    limits = task.answer_limits(asked)
    if cell.prompt_style == "ref":
        with suppress(OriginalError):  # this session's own failure, recorded when its turn comes
            _reference(asked, cell, tokenizer, window, limits)
        return
    check_questions(asked, build_dialogue(asked, task, tokenizer), limits, window)


def _dialogue(
    session: Session, task: Task, cell: Cell, loaded: ModelText, limits: tuple[int, ...]
) -> tuple[Dialogue, Cut]:
    """The session's dialogue in the cell's style, fitted to the model's window, and what this cost."""

    text = _reading(loaded)
    if cell.prompt_style == "ref":
        dialogue, gone = _reference(session, cell, loaded.tokenizer, loaded.window, limits)
        kept = text(dialogue.context)
        lost = (gone > 0 and not task.answer_kept(turn, session.context, kept) for turn in session.turns)
        return dialogue, Cut(gone, 0, tuple(lost))
    fitting = Fitting(
        task=task,
        window=loaded.window,
        history=cell.history,
        fit=cell.fit,
        build=lambda part: build_dialogue(part, task, loaded.tokenizer),
        text=text,
    )
    return fitting(session)


def _reading(loaded: ModelText) -> Callable[[Tokens], str]:
    """Reads tokens as they are, special ones too."""
    return lambda tokens: str(loaded.tokenizer.decode(list(tokens), clean_up_tokenization_spaces=False))


def _reference(
    session: Session, cell: Cell, tokenizer: ChatTokenizer, window: int, limits: tuple[int, ...]
) -> tuple[Dialogue, int]:
    requests = cell.mode.build().kind == MULTI_REQUEST
    return build_reference(session, tokenizer, requests=requests, history=cell.history, window=window, limits=limits)


def _job(
    name: str,
    cell: Cell,
    dialogue: Dialogue,
    limits: Tokens,
    rewriting: Rewriting | None,
    places: tuple[Places, ...],
) -> Job:
    plans = all(choice.type.only_plans() for choice in cell.methods)
    layout = with_query(build_layout(cell.mode.build(), dialogue, limits, cell.history), cell.query, plans)
    later = len(dialogue.followup) - len(layout.branches)
    feedback = tuple(zip(dialogue.followup, limits, strict=True))[-later:] if later else ()
    budget = None if cell.budget is None else Budget(cell.budget)
    parts = (choice.build() for choice in cell.methods)
    acted = rewriting is not None
    method = compose(part for part in parts if not (acted and part.rewrites))
    measured = cell.engine.build().fidelity != NONE and all(dialogue.gold)  # prompt_style=ref has gold text only
    gold = dialogue.gold if measured else ()
    left_out = None if rewriting is None else rewriting.before - rewriting.left
    return Job(name, layout, method, budget, feedback, cell.compress, cell.query == "each", gold, left_out, places)
