from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scbench.errors import ScbenchError
from scbench.scoring import Scores, score
from scbench.tasks.session import Answer

CASES = json.loads((Path(__file__).parents[1] / "data" / "reference_scoring.json").read_text())["cases"]
TASKS = {
    "scbench_kv": "retr_kv",
    "scbench_prefix_suffix": "retr_prefix_suffix",
    "scbench_mf": "math_find",
    "scbench_qa_eng": "en_qa",
}
UUID = "4a15ddcd-3c4f-4c33-a9bd-fec7bc5ca165"


@pytest.mark.parametrize("task", TASKS)
def test_ref_reproduces_the_original(task: str) -> None:
    cases = [case for case in CASES if case["task"] == task]
    assert len(cases) >= 75
    for case in cases:
        scores = score(TASKS[task], case["prediction"], case["ground_truth"])
        expected = (0.0, case["error"]) if "error" in case else (case["score"], None)
        assert (scores.ref, scores.raised) == expected, case["id"]


@pytest.mark.parametrize(
    ("task", "prediction", "gold", "raised"),
    [
        ("math_find", "9" * 400, 9, "OverflowError"),
        ("math_find", "9", "9", "TypeError"),
        ("retr_kv", "9", 9, "TypeError"),
        ("en_qa", "9", 9, "AttributeError"),
    ],
)
def test_where_the_original_raises_ref_is_zero_and_says_so(
    task: str, prediction: str, gold: Answer, raised: str
) -> None:
    scores = score(task, prediction, gold)
    assert (scores.ref, scores.raised) == (0.0, raised)


# task, prediction, gold, strict, ref
DIFFERENCES = [
    ("retr_kv", f"{UUID}{UUID}", UUID, 0, 1),
    ("retr_kv", UUID.upper(), UUID, 1, 0),
    ("retr_kv", UUID, "", 0, 1),
    ("retr_kv", "x1", "x1 ", 1, 0),
    ("retr_prefix_suffix", "ABCd", "abcD", 0, 0),
    ("retr_prefix_suffix", "abcDe", "abcD", 0, 1),
    ("math_find", "-226", 226, 0, 1),
    ("math_find", "Answer: −226.", -226, 1, 0),
    ("math_find", "1,234", 1234, 1, 0),
    ("math_find", "1,234", 1, 0, 1),
    ("math_find", "557,27", 557, 1, 1),
    ("math_find", "394e3", 394, 0, 1),
    ("math_find", "394e3", 394000, 1, 0),
    ("math_find", "12.9", 12, 0, 1),
    ("math_find", "12.0", 12, 1, 1),
    ("math_find", "3.1415900", 3.14159, 1, 1),
    ("math_find", "9007199254740993", 2**53 + 1, 1, 0),
    ("math_find", ".5", 0.5, 1, 0),
    ("math_find", "It is...981", 981, 1, 1),
    ("math_find", "The 2nd largest is 981", 981, 1, 0),
    ("math_find", "The 22ND largest is 981", 981, 1, 0),
    ("math_find", "４６５", 465, 0, 1),
    ("math_find", "9" * 400, int("9" * 400), 1, 0),
    ("math_find", "440/2", 440, 1, 1),
    ("math_find", "The 3 numbers: 7", 7, 0, 0),
    ("math_find", "12", (12, 13), 1, 1),
    ("math_find", "none", 5, 0, 0),
    ("en_qa", "Red Keep", "the Red Keep", 1, 0),
    ("en_qa", "a butler", "the butler", 1, 0),
    ("en_qa", "Mrs  O'Malley", "Mrs. O'Malley", 1, 0),
    ("en_qa", "sao paulo", "São Paulo", 1, 0),
    ("en_qa", "It cost 5000.", "5,000", 1, 0),
    ("en_qa", "the parish", "Paris", 0, 1),
    ("en_qa", "at 17:40", "7:40", 0, 1),
    ("en_qa", "At **7:40**, he left.", "7:40", 1, 1),
    ("en_qa", "Paris's", "Paris", 1, 1),
    ("en_qa", "_Paris_", "Paris", 1, 1),
    ("en_qa", "Paris", "", 0, 1),
    ("en_qa", "?", "?", 1, 1),
    ("en_qa", "what?", "?", 0, 1),
    ("en_qa", "", "Paris", 0, 0),
]


@pytest.mark.parametrize(("task", "prediction", "gold", "strict", "ref"), DIFFERENCES)
def test_strict_beside_ref(task: str, prediction: str, gold: Answer, strict: int, ref: int) -> None:
    scores = score(task, prediction, gold)
    assert (scores.strict, scores.ref) == (strict, ref)


GOLDS: dict[str, Answer] = {"retr_kv": UUID, "retr_prefix_suffix": "aB3", "math_find": 465, "en_qa": "the old mill"}
ANYTHING = st.text(st.characters(codec=None))


@pytest.mark.parametrize("task", GOLDS)
@settings(max_examples=500)
@given(prediction=ANYTHING | st.from_regex(r"[-+.,0-9eE ]{0,30}(st|nd)?"), gold=ANYTHING)
def test_any_prediction_scores_between_zero_and_one(task: str, prediction: str, gold: str) -> None:
    for answer in (GOLDS[task], gold) if task != "math_find" else (GOLDS[task],):
        scores = score(task, prediction, answer)
        assert scores.strict in (0.0, 1.0)
        assert scores.ref in (0.0, 1.0)


@given(st.integers(), ANYTHING)
def test_a_number_is_read_whatever_follows_it(number: int, after: str) -> None:
    assert score("math_find", f"{number} {after}", number).strict == 1.0
    assert score("math_find", f"{number:,} {after}", number).strict == 1.0


@given(ANYTHING)
def test_every_text_answers_itself(text: str) -> None:
    expected = float(bool(text.strip()))
    assert score("en_qa", text, text).strict == expected


def test_a_turn_of_a_mix_is_scored_by_its_subtask() -> None:
    assert score("mix_repoqa_kv", UUID, UUID, subtask="retr_kv") == Scores(1.0, 1.0)


def test_a_task_without_a_scorer_is_an_error() -> None:
    with pytest.raises(ScbenchError, match="no scorer for task retr_kw; there are retr_kv"):
        score("retr_kw", "", "")


def test_importing_the_scorers_is_fast_and_needs_no_torch() -> None:
    code = (
        "import time; start = time.perf_counter(); import scbench.scoring, sys;"
        "print(time.perf_counter() - start, 'torch' in sys.modules, 'transformers' in sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert float(printed[0]) < 1
    assert printed[1:] == ["False", "False"]
