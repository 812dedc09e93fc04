"""Which rule scores which task, and both scores of predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

from scbench.errors import ScbenchError
from scbench.scoring import answer, chinese, choice, code, letter, multihop, number, passkey, records, summary, value
from scbench.scoring.item import Answered, Scores
from scbench.tasks.session import Answer

CODE = "code_repoqa"
RAISED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""The exceptions of the original's scorers; all their subclasses are among them."""


@dataclass(frozen=True)
class Rule:
    """How one prediction is scored; `label` makes what the original's scorer receives of gold answer and options.

    `quarters` gives the strict score of each quarter of a long answer; None where answers have no parts.
    """

    strict: Callable[[str, Answer, Sequence[str]], float]
    ref: Callable[[str, Any], float]
    label: Callable[[Answer, Sequence[str]], Any]
    quarters: Callable[[str, Answer], tuple[float, ...]] | None = None


def _plain(gold: Answer, options: Sequence[str]) -> Any:
    return gold


def _listed(gold: Answer, options: Sequence[str]) -> Any:
    return [gold]


def _rule(
    strict: Callable[[str, Answer], float],
    ref: Callable[[str, Any], float],
    label: Callable[[Answer, Sequence[str]], Any] = _plain,
    quarters: Callable[[str, Answer], tuple[float, ...]] | None = None,
) -> Rule:
    """A rule that needs no options; its label is the gold answer itself."""

    @wraps(strict)
    def without_options(prediction: str, gold: Answer, options: Sequence[str]) -> float:
        return strict(prediction, gold)

    return Rule(without_options, ref, label, quarters)


RULES: Mapping[str, Rule] = {
    "retr_kv": _rule(value.strict, value.ref),
    "retr_prefix_suffix": _rule(value.strict, value.ref),
    "retr_multihop": _rule(multihop.strict, multihop.ref),
    "en_qa": _rule(answer.strict, answer.ref, _listed),
    "zh_qa": _rule(chinese.strict, chinese.ref),
    "en_multichoice": Rule(choice.strict, choice.ref, choice.label_of),
    "math_find": _rule(number.strict, number.ref),
    "icl_manyshot": _rule(letter.strict, letter.ref),
    "en_sum": _rule(summary.strict, summary.ref),
    "passkey": _rule(passkey.strict, passkey.ref),
    "gen_records": _rule(records.strict, records.ref, quarters=records.quarters),
}


def has_quarters(task: str) -> bool:
    """Whether answers of the task are scored by quarters too."""
    return task in RULES and RULES[task].quarters is not None


def score(
    task: str,
    prediction: str,
    gold: Answer,
    options: Sequence[str] = (),
    subtask: str | None = None,
) -> Scores:
    """Score one prediction of `task`, or of the `subtask` that its turn belongs to.

    `options` are the texts of a multiple-choice question. Functions of Code.RepoQA compete: score them together, by
    `score_all`. Raises `ScbenchError` for a task without a scorer.
    """
    return score_all([Answered(task, prediction, gold, options, subtask)])[0]


def score_all(items: Sequence[Answered], mode: str = "multi_turn") -> list[Scores]:
    """Score a set of predictions, in order: all of a cell or of a prediction file, since functions compete.

    `mode` is `multi_turn` or `multi_request`: in the latter, the original looks for the answers of the KV turns of
    Mix.RepoQA+KV among the keys of its record instead of in the prediction, and so does `ref`. Raises `ScbenchError`
    for a task without a scorer.
    """
    code_items = [item for item in items if item.scored_as == CODE]
    code_scores = iter(zip(code.strict_all(code_items), code.ref_all(code_items), strict=True))
    return [_code(*next(code_scores)) if item.scored_as == CODE else _single(item, mode) for item in items]


def ref_of(item: Answered, label: Any, mode: str) -> float:
    """The original's score of one prediction (not of code) beside the `label` that its scorer receives.

    Raises what the original raises.
    """
    if mode == "multi_request" and item.task == "mix_repoqa_kv":
        return value.ref_in_record(item.fields, label)
    return RULES[item.scored_as].ref(item.prediction, label)


def _single(item: Answered, mode: str) -> Scores:
    if item.scored_as not in RULES:
        raise ScbenchError(f"no scorer for task {item.scored_as}; there are {', '.join([*RULES, CODE])}")
    rule = RULES[item.scored_as]
    headline = rule.strict(item.prediction, item.gold, item.options)
    quarters = () if rule.quarters is None else rule.quarters(item.prediction, item.gold)
    try:
        return Scores(headline, ref_of(item, rule.label(item.gold, item.options), mode), quarters=quarters)
    except RAISED as error:
        return Scores(headline, 0.0, type(error).__name__, quarters)


def _code(headline: float, ref: float | Exception) -> Scores:
    if isinstance(ref, Exception):
        return Scores(headline, 0.0, type(ref).__name__)
    return Scores(headline, ref)
