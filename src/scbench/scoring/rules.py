"""Which rule scores which task, and both scores of a prediction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from scbench.errors import ScbenchError
from scbench.scoring import answer, number, value
from scbench.tasks.session import Answer

Rule = Callable[[str, Answer], float]


@dataclass(frozen=True)
class Scores:
    """Both scores in [0, 1]; `raised` names the exception that the original raises here, where `ref` is 0."""

    strict: float
    ref: float
    raised: str | None = None


_RULES: Mapping[str, tuple[Rule, Rule]] = {
    "retr_kv": (value.strict, value.ref),
    "retr_prefix_suffix": (value.strict, value.ref),
    "math_find": (number.strict, number.ref),
    "en_qa": (answer.strict, answer.ref),
}


def score(
    task: str,
    prediction: str,
    gold: Answer,
    options: Sequence[str] = (),
    subtask: str | None = None,
) -> Scores:
    """Score a prediction of `task`, or of the `subtask` that its turn belongs to.

    `options` are the texts of a multiple-choice question. Raises `ScbenchError` for a task without a scorer.
    """
    name = subtask or task
    if name not in _RULES:
        raise ScbenchError(f"no scorer for task {name}; there are {', '.join(_RULES)}")
    strict, ref = _RULES[name]
    headline = strict(prediction, gold)
    try:
        return Scores(headline, ref(prediction, gold))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        return Scores(headline, 0.0, type(error).__name__)
