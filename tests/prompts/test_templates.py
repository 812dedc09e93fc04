from __future__ import annotations

import pytest

from scbench.prompts import templates
from scbench.prompts.templates import answer_text, template
from scbench.tasks.session import Answer, Turn


@pytest.mark.parametrize(
    ("answer", "written"),
    [("old mill", "old mill"), (7, "7"), (7.0, "7"), (0.5, "0.5"), (("A", "B"), "A, B"), (("A",), "A")],
)
def test_answers_are_written_as_a_person_would(answer: Answer, written: str) -> None:
    assert answer_text(answer) == written


def test_math_find_asks_for_what_its_own_turn_asks() -> None:
    turn = Turn("You should answer with only one number. The Median number of the list is: ", 5)
    assert template("math_find").ask(turn) == (
        "What is the median number of the list?\n\n"
        "You should answer with only one number. The Median number of the list is:"
    )


def test_multiple_choice_says_the_correct_answer_once() -> None:
    asked = template("en_multichoice").ask(Turn("Who?", "Ada", options=("Ada", "Bo", "Cy", "Di")))
    assert asked == "Question: Who?\nA. Ada\nB. Bo\nC. Cy\nD. Di\n\nThe correct answer is"


def test_chinese_questions_are_framed_in_chinese() -> None:
    assert template("zh_qa").ask(Turn("谁？ ", "诺拉")) == "问题：谁？\n答案："


def test_a_task_without_an_entry_asks_its_questions_as_they_are() -> None:
    style = template("a_task_of_mine")
    assert style.instruction == ""
    assert style.ask(Turn("Which? ", "x")) == "Which?"


@pytest.mark.parametrize("task", ["retr_kv", "code_repoqa", "en_qa", "zh_qa", "en_multichoice"])
def test_an_instruction_is_parted_from_the_context_by_a_blank_line(task: str) -> None:
    assert template(task).instruction.endswith("\n\n")


ALL = [
    "retr_kv",
    "retr_prefix_suffix",
    "retr_multihop",
    "code_repoqa",
    "en_qa",
    "zh_qa",
    "en_multichoice",
    "math_find",
    "icl_manyshot",
    "en_sum",
    "mix_sum_niah",
    "mix_repoqa_kv",
]


def test_every_task_has_an_entry_of_its_own() -> None:
    assert set(templates._TEMPLATES) == set(ALL)


@pytest.mark.parametrize("task", ["retr_prefix_suffix", "retr_multihop", "icl_manyshot", "en_sum"])
def test_these_questions_say_all_themselves(task: str) -> None:
    assert template(task).instruction == ""
    assert template(task).ask(Turn("Which? ", "x")) == "Which?"


@pytest.mark.parametrize(
    ("task", "subtask"),
    [
        ("mix_sum_niah", "en_sum"),
        ("mix_sum_niah", "passkey"),
        ("mix_repoqa_kv", "code_repoqa"),
        ("mix_repoqa_kv", "retr_kv"),
    ],
)
def test_a_mix_asks_each_turn_as_it_is(task: str, subtask: str) -> None:
    assert template(task).instruction == ""
    assert template(task).ask(Turn("Key: x\nThe value is: ", "y", subtask=subtask)) == "Key: x\nThe value is:"
