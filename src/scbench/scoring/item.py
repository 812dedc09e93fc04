"""What is scored: a prediction beside its gold answer, with what its scorer needs to know of the turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scbench.tasks.session import Answer

KV_FIELDS = ("id", "turn_idx", "prediction", "ground_truth", "task", "lang", "repo")


@dataclass(frozen=True)
class Answered:
    """One answered turn.

    `task` is the task's name, `subtask` the part of a mix that the turn belongs to, `options` the texts of a
    multiple-choice question. `session`, `language`, `repo` and `function` matter to Code.RepoQA, whose functions
    compete with each other. `fields` are the keys of the original's record of this turn, in which it looks for the
    answers of Mix.RepoQA+KV.
    """

    task: str
    prediction: str
    gold: Answer
    options: Sequence[str] = ()
    subtask: str | None = None
    session: str = ""
    language: str | None = None
    repo: str | None = None
    function: str | None = None
    fields: Sequence[str] = KV_FIELDS

    @property
    def scored_as(self) -> str:
        """The name of the task whose rule scores this turn."""
        return self.subtask or self.task


@dataclass(frozen=True)
class Scores:
    """Both scores in [0, 1]; `raised` names the exception that the original raises here, where `ref` is 0.

    `quarters` are the strict scores of the quarters of a long answer, NaN for an empty one; none where a task's answers
    have no parts.
    """

    strict: float
    ref: float
    raised: str | None = None
    quarters: tuple[float, ...] = ()
