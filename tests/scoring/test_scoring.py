from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scbench.errors import ScbenchError
from scbench.scoring import Answered, Scores, score, score_all
from scbench.tasks.session import Answer

UUID = "4a15ddcd-3c4f-4c33-a9bd-fec7bc5ca165"


@pytest.mark.parametrize(
    ("task", "prediction", "gold", "raised"),
    [
        ("math_find", "9" * 400, 9, "OverflowError"),
        ("math_find", "9", "9", "TypeError"),
        ("math_find", "9", None, "TypeError"),
        ("math_find", "9", (), "IndexError"),
        ("retr_kv", "9", 9, "TypeError"),
        ("retr_kv", "9", None, "TypeError"),
        ("retr_kv", "9", ("9",), "TypeError"),
        ("en_qa", "9", 9, "AttributeError"),
        ("en_qa", "9", None, "AttributeError"),
        ("en_qa", "9", ("9",), "AttributeError"),
        ("zh_qa", "9", 9, "TypeError"),
        ("zh_qa", "9", (9,), "AttributeError"),
        ("icl_manyshot", "9", 9, "TypeError"),
        ("icl_manyshot", "9", (9,), "AttributeError"),
        ("retr_multihop", "9", (), "ZeroDivisionError"),
        ("retr_multihop", "9", "", "ZeroDivisionError"),
        ("retr_multihop", "9", 9, "TypeError"),
        ("retr_multihop", "9", (9,), "AttributeError"),
        ("en_sum", "9", 9, "AttributeError"),
        ("en_sum", "9", ("9",), "AttributeError"),
        ("passkey", "9", (), "IndexError"),
        ("en_multichoice", "9", "9", "ValueError"),
    ],
)
def test_where_the_original_raises_ref_is_zero_and_says_so(
    task: str, prediction: str, gold: Answer, raised: str
) -> None:
    scores = score(task, prediction, gold)
    assert (scores.ref, scores.raised) == (0.0, raised)
    assert 0 <= scores.strict <= 1


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
    ("en_qa", "Nora", ("Arya", "Nora"), 1, 0),
    ("math_find", "9", "9", 1, 0),
    ("math_find", "9", "nine", 0, 0),
    ("retr_multihop", "ABC", ("ABC", "DEF", "GHI"), 1 / 3, 0.33),
    ("retr_multihop", "abc, def", ("ABC", "DEF", "GHI"), 2 / 3, 0.67),
    ("retr_multihop", "A1", tuple(f"A{n}" for n in range(1, 9)), 0.125, 0.12),
    ("retr_multihop", "ABCDEFGH", ("ABC", "BCD"), 0, 1),
    ("retr_multihop", "['ABC', 'ABC']", ("ABC", "ABC", "DEF"), 0.5, 0.67),
    ("zh_qa", "诺拉", "诺拉", 1, 2 / 3),
    ("zh_qa", "诺", "诺拉", 2 / 3, 1),
    ("zh_qa", "答案是诺拉。", "诺拉", 4 / 7, 1 / 3),
    ("zh_qa", "ＤＮＡ", "DNA", 1, 0),
    ("zh_qa", "《诺·拉》", "诺拉", 1, 0.4),
    ("zh_qa", "12", 12, 1, 0),
    ("zh_qa", "Nora", ("诺拉", "nora"), 1, 1),
    ("zh_qa", "。", "。", 0, 0),
    ("icl_manyshot", "I think it is Claire", "A", 0, 1),
    ("icl_manyshot", "date", "D", 0, 1),
    ("icl_manyshot", "(E) Dave", "D", 0, 1),
    ("icl_manyshot", "(E) Dave", "E", 1, 1),
    ("icl_manyshot", "so", "Yes", 0, 1),
    ("icl_manyshot", "Yes.", "Yes", 1, 1),
    ("icl_manyshot", "(A)", "(D)", 0, 1),
    ("icl_manyshot", "A date is a day. The answer is C.", "C", 1, 1),
    ("icl_manyshot", "Not (A), the answer is (B)", "B", 1, 1),
    ("icl_manyshot", "b", "B", 1, 1),
    ("icl_manyshot", "**G**", "G", 1, 1),
    ("icl_manyshot", "It must be F", "F", 1, 1),
    ("icl_manyshot", "A word", "A", 0, 1),
    ("icl_manyshot", "Answer: b", "B", 1, 1),
    ("icl_manyshot", "The answer is B because of C", "B", 1, 1),
    ("icl_manyshot", "The answer is clearly (D)", "C", 0, 1),
    ("icl_manyshot", "The answer is clearly (D)", "D", 1, 1),
    ("icl_manyshot", "", "B", 0, 0),
    ("passkey", "71432", 71432, 1, 0),
    ("passkey", "The pass key is 71,432.", "71432", 1, 0),
    ("passkey", "７１４３２", "71432", 1, 0),
    ("passkey", "071432", "71432", 0, 0),
    ("passkey", "71432.5", "71432", 1, 1),
    ("passkey", "(1) 71432", "71432", 0, 0),
    ("passkey", "none", "", 0, 1),
    ("en_sum", "It works. We tried.", "We tried. It works.", 1, 0.5),
    ("en_sum", "the", "the the the", 0.5, 0.5),
    ("en_sum", "", "the", 0, 0),
]


@pytest.mark.parametrize(("task", "prediction", "gold", "strict", "ref"), DIFFERENCES)
def test_strict_beside_ref(task: str, prediction: str, gold: Answer, strict: int, ref: int) -> None:
    scores = score(task, prediction, gold)
    assert (scores.strict, scores.ref) == pytest.approx((strict, ref), abs=1e-9)


OPTIONS = ("Bran", "Arya", "the old mill", "the mill")
# prediction, gold option, strict, ref
CHOICES = [
    ("Arya", "Arya", 1, 0),
    ("B", "Arya", 1, 1),
    ("Because he said so", "Arya", 0, 1),
    ("Apple", "Bran", 0, 1),
    ("my answer is (A)", "Bran", 1, 0),
    ("a", "Bran", 1, 0),
    ("B. Arya", "Arya", 1, 1),
    ("(D)", "the mill", 1, 0),
    ("It was Arya, not Bran", "Arya", 1, 0),
    ("the answer is the old mill", "the mill", 0, 0),
    ("the answer is the old mill", "the old mill", 1, 1),
    ("the answer is the mill", "the mill", 1, 1),
    ("I choose C", "the old mill", 1, 1),
    ("A girl called Arya", "Arya", 1, 0),
    ("none of them", "Bran", 0, 0),
    ("", "Bran", 0, 0),
    ("Bran", "Sansa", 0, 0),
]


@pytest.mark.parametrize(("prediction", "gold", "strict", "ref"), CHOICES)
def test_multiple_choice_strict_beside_ref(prediction: str, gold: str, strict: int, ref: int) -> None:
    scores = score("en_multichoice", prediction, gold, OPTIONS)
    assert (scores.strict, scores.ref) == (strict, ref)


ANYTHING = st.text(st.characters(codec=None))


@given(st.integers(), ANYTHING)
def test_a_number_is_read_whatever_follows_it(number: int, after: str) -> None:
    assert score("math_find", f"{number} {after}", number).strict == 1.0
    assert score("math_find", f"{number:,} {after}", number).strict == 1.0


@given(ANYTHING)
def test_every_text_answers_itself(text: str) -> None:
    expected = float(bool(text.strip()))
    assert score("en_qa", text, text).strict == expected


@pytest.mark.parametrize(
    ("task", "subtask", "prediction", "gold"),
    [
        ("mix_repoqa_kv", "retr_kv", UUID, UUID),
        ("mix_sum_niah", "passkey", "The key is 123.", "123"),
        ("mix_sum_niah", "en_sum", "We try it", "we try it"),
    ],
)
def test_a_turn_of_a_mix_is_scored_by_its_subtask(task: str, subtask: str, prediction: str, gold: str) -> None:
    assert score(task, prediction, gold, subtask=subtask) == Scores(1.0, 1.0)


@pytest.mark.parametrize(("gold", "ref", "raised"), [(UUID, 0, None), ("prediction", 1, None), (["x"], 0, "TypeError")])
def test_kv_of_the_mix_in_multi_request_mode_looks_into_the_records_keys(
    gold: Answer, ref: int, raised: str | None
) -> None:
    turn = Answered("mix_repoqa_kv", f"It is {gold}", gold, subtask="retr_kv")
    assert score_all([turn], "multi_request") == [Scores(score_all([turn])[0].strict, ref, raised)]
    assert score_all([turn])[0].strict == 1


def test_a_task_without_a_scorer_is_an_error() -> None:
    with pytest.raises(ScbenchError, match="no scorer for task retr_kw; there are retr_kv"):
        score("retr_kw", "", "")


def test_importing_the_scorers_is_fast_and_needs_no_torch() -> None:
    code = (
        "import time; start = time.perf_counter(); import scbench.scoring, sys;"
        "print(time.perf_counter() - start, *({'torch', 'transformers', 'nltk', 'pandas'} & set(sys.modules)))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert float(printed[0]) < 1
    assert printed[1:] == []
