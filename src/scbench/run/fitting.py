"""Making a session fit the model's window, and saying what that cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from scbench.errors import ScbenchError
from scbench.modes import excess_tokens, fit_middle
from scbench.prompts.dialogue import Dialogue
from scbench.tasks.base import Task
from scbench.tasks.session import Session
from scbench.tasks.shrink import drop, fewest

Tokens = tuple[int, ...]


@dataclass(frozen=True)
class Cut:
    """What went: context tokens; groups of whole items, 0 where the middle went; per turn, whether its answer did."""

    tokens: int = 0
    groups: int = 0
    answers: tuple[bool, ...] = ()

    def detail(self, turn: int) -> str:
        """One line for the record of a turn; empty where nothing was cut."""
        if not self.tokens:
            return ""
        how = f"{self.groups} groups of whole items" if self.groups else "the middle"
        lost = "; the answer stood there" if self.answers[turn] else ""
        return f"{self.tokens} context tokens were cut to fit the window ({how}){lost}"


UNCUT = Cut()


@dataclass(frozen=True)
class Fitting:
    """How sessions are fitted: `fit` is `whole` or `middle`, `build` makes a dialogue, `text` reads tokens."""

    task: Task
    window: int
    history: str
    fit: str
    build: Callable[[Session], Dialogue]
    text: Callable[[Tokens], str]

    def __call__(self, session: Session) -> tuple[Dialogue, Cut]:
        """The dialogue of which every prompt, with its answer, fits, and what was cut for that.

        `whole` drops the fewest of the task's droppable items, in their order; the middle goes where they are none
        or not enough, and with `middle`. Raises `ScbenchError` where not even the questions alone fit.
        """
        whole = self.build(session)
        excess = self._excess(session, whole)
        if excess <= 0:
            return whole, Cut(answers=(False,) * len(session.turns))
        fitted = self._by_items(session, whole, excess) if self.fit == "whole" else None
        return fitted or self._by_the_middle(session, whole)

    def _excess(self, session: Session, dialogue: Dialogue) -> int:
        return excess_tokens(dialogue, self.window, self.task.answer_limits(session), self.history)

    def _by_items(self, session: Session, whole: Dialogue, excess: int) -> tuple[Dialogue, Cut] | None:
        groups = self.task.droppable(session)
        tried = {0: excess}

        def without(count: int) -> int:
            if count not in tried:
                tried[count] = self._excess(session, self.build(drop(session, groups[:count])))
            return tried[count]

        count = fewest(len(groups), without)
        if count is None:
            return None
        left = drop(session, groups[:count])
        dialogue = self.build(left)
        gone = len(whole.context) - len(dialogue.context)
        return dialogue, Cut(gone, count, self._answers_cut(session, session.context, left.context))

    def _by_the_middle(self, session: Session, whole: Dialogue) -> tuple[Dialogue, Cut]:
        dialogue, gone = fit_middle(whole, self.window, self.task.answer_limits(session), self.history)
        texts = self.text(whole.context), self.text(dialogue.context)
        return dialogue, Cut(gone, 0, self._answers_cut(session, *texts))

    def _answers_cut(self, session: Session, whole: str, kept: str) -> tuple[bool, ...]:
        return tuple(not self.task.answer_kept(turn, whole, kept) for turn in session.turns)


def check_questions(session: Session, dialogue: Dialogue, limits: Tokens, window: int) -> None:
    """Raise `ScbenchError` naming the first question that has no room in the window, even without any context.

    `dialogue` is the session's without its context.
    """
    for turn, (question, limit) in enumerate(zip(dialogue.opening, limits, strict=True)):
        need = len(dialogue.context) + len(question) + limit
        if need > window:
            place = f"session {session.id}, turn {turn}"
            if session.place is not None:
                place = f"{session.place}, field multi_turns[{turn}].input ({place})"
            raise ScbenchError(
                f"{place}: the question and its answer need {need} tokens without any context, but the model's window "
                f"has {window}; take a shorter question or a lower task.max_new_tokens"
            )
