"""Any prediction has a score, in little time."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scbench.scoring import Answered, score_all
from scbench.scoring.functions import GRAMMARS

SOURCE = "def clamp(value, low, high):\n    return max(low, min(value, high))"
OPTIONS = ("Bran", "Arya", "the mill", "Jon")
TURNS: dict[str, Callable[[str], Answered]] = {
    "retr_kv": lambda said: Answered("retr_kv", said, "4a15ddcd-3c4f-4c33-a9bd-fec7bc5ca165"),
    "retr_prefix_suffix": lambda said: Answered("retr_prefix_suffix", said, "aB3"),
    "retr_multihop": lambda said: Answered("retr_multihop", said, ("ABC", "DEF")),
    "en_qa": lambda said: Answered("en_qa", said, "the old mill"),
    "zh_qa": lambda said: Answered("zh_qa", said, "林如海的侄女"),
    "en_multichoice": lambda said: Answered("en_multichoice", said, "Arya", OPTIONS),
    "math_find": lambda said: Answered("math_find", said, 465),
    "icl_manyshot": lambda said: Answered("icl_manyshot", said, "B"),
    "en_sum": lambda said: Answered("en_sum", said, "We show it. It works."),
    "gen_records": lambda said: Answered("gen_records", said, "abcd1234 | B | 1\nefgh5678 | A | 2"),
    "passkey": lambda said: Answered("mix_sum_niah", said, "71432", subtask="passkey"),
} | {
    language: lambda said, language=language: Answered(  # type: ignore[misc]
        "code_repoqa", said, SOURCE, session="s", language=language, repo="r", function="clamp"
    )
    for language in GRAMMARS
}
UNICODE = st.text(st.characters(codec=None), max_size=60)  # lone surrogates too
PIECES = (
    "answer| is|:| |\n|(|B|)|A|.|1|,|234|-|e9|٤|İ|ß|\ud800|林|```|python|def f(x): pass|fn f() {}|Arya|the|ABC|\u200b"
)
NEAR = st.lists(st.sampled_from(PIECES.split("|")), max_size=15).map("".join)


def check(name: str, prediction: str, mode: str) -> None:
    (scores,) = score_all([TURNS[name](prediction)], mode)
    assert 0.0 <= scores.strict <= 1.0
    assert 0.0 <= scores.ref <= 1.0


@pytest.mark.parametrize("name", TURNS)
@settings(max_examples=120, deadline=None)
@given(prediction=UNICODE | NEAR, mode=st.sampled_from(["multi_turn", "multi_request"]))
def test_any_prediction_scores_between_zero_and_one(name: str, prediction: str, mode: str) -> None:
    check(name, prediction, mode)


@pytest.mark.slow
@pytest.mark.parametrize("name", TURNS)
@settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(prediction=UNICODE | NEAR, mode=st.sampled_from(["multi_turn", "multi_request"]))
def test_ten_thousand_predictions_score_between_zero_and_one(name: str, prediction: str, mode: str) -> None:
    check(name, prediction, mode)


LONG = {
    "blanks": "answer" + " " * 100_000,
    "digits": "1" * 100_000,
    "thousands": "1,111" * 20_000,
    "words": "a " * 50_000,
    "lines": ".\n" * 50_000,
    "fences": "```\n" * 25_000,
    "open fence": "```" + "\n" * 100_000,
    "brackets": "(" * 100_000,
    "cues": "answer is " * 10_000,
}


@pytest.mark.parametrize("name", [name for name in TURNS if name not in GRAMMARS] + ["python", "cpp"])
def test_no_text_takes_long(name: str) -> None:
    check(name, "", "multi_turn")  # imports are not what is timed
    for prediction in LONG.values():
        start = time.perf_counter()
        check(name, prediction, "multi_turn")
        assert time.perf_counter() - start < 15, prediction[:20]


@settings(max_examples=200)
@given(
    gold=st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | UNICODE
    | st.lists(UNICODE | st.integers(), max_size=3)
)
@pytest.mark.parametrize("name", [name for name in TURNS if name not in GRAMMARS])
def test_any_gold_answer_gives_a_score(name: str, gold: object) -> None:
    turn = TURNS[name]("The answer is B: 465.")
    (scores,) = score_all([Answered(turn.task, turn.prediction, gold, turn.options, turn.subtask)])  # type: ignore[arg-type]
    assert 0.0 <= scores.strict <= 1.0
    assert 0.0 <= scores.ref <= 1.0
