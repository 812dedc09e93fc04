"""Code.RepoQA: blocks, functions, competition."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scbench.scoring import Answered, score, score_all
from scbench.scoring.fences import blocks, ref_blocks
from scbench.scoring.functions import function, ref_function

CLAMP = "def clamp(value, low, high):\n    return max(low, min(value, high))"
MERGE = "def merge(left, right):\n    out = sorted(left + right)\n    return out"


def turn(prediction: str, name: str = "clamp", source: str = CLAMP, **values: str) -> Answered:
    values = {"session": "s", "repo": "r", "language": "python"} | values
    return Answered("code_repoqa", prediction, source, function=name, **values)  # type: ignore[arg-type]


def both(*turns: Answered) -> list[tuple[float, float]]:
    return [(scores.strict, scores.ref) for scores in score_all(turns)]


@pytest.mark.parametrize(
    ("text", "strict", "ref"),
    [
        ("no fence", [], []),
        ("```python\na\n```", ["a\n"], ["a\n"]),
        ("```c++\na\n```", ["a\n"], []),
        ("```python title\na\n```", ["a\n"], []),
        ("text\n  ```\na\n  ```", ["a\n"], []),
        ("```\na", ["a"], []),
        ("```\na\n```\n```\nb\n```", ["a\n", "b\n"], ["a\n", "b\n"]),
        ("```c++\na\n```\ntext\n```", ["a\n"], ["text\n"]),
        ("\n\n   ```go  \n\n  a\n```<|eot|>", ["\n  a\n"], ["  a\n"]),
    ],
)
def test_blocks(text: str, strict: list[str], ref: list[str]) -> None:
    assert blocks(text) == strict
    assert ref_blocks(text) == ref


@pytest.mark.parametrize(
    ("language", "source", "strict", "ref"),
    [
        ("python", "@cache\ndef f(): pass", "def f(): pass", "def f(): pass"),
        ("python", "x = 1", None, None),
        ("java", "class T { T() {} int f() {} }", "T() {}", "int f() {}"),
        ("typescript", "const f = (n: number) => n;", "const f = (n: number) => n;", None),
        ("typescript", "class T { f() {} }", "f() {}", None),
        ("rust", "impl S { fn f() {} }", "fn f() {}", "fn f() {}"),
        ("cpp", "int T::f() { return 1; }\nint g() { return 2; }", "int T::f() { return 1; }", "int g() { return 2; }"),
        ("cpp", "int* f() { return 0; }", "int* f() { return 0; }", None),
        ("go", "func (s *S) F() {}\nfunc G() {}", "func (s *S) F() {}", "func G() {}"),
    ],
)
def test_functions(language: str, source: str, strict: str | None, ref: str | None) -> None:
    assert function(source, language) == strict
    assert ref_function(source, language) == ref


def test_a_language_without_grammar_is_compared_as_text_and_raises_in_the_original() -> None:
    (scores,) = score_all([turn(f"```\n{CLAMP}\n```", language="cobol")])
    assert (scores.strict, scores.ref, scores.raised) == (1.0, 0.0, "KeyError")


def test_text_without_utf8_raises_in_the_original() -> None:
    (scores,) = score_all([turn("```\n\ud800\n```")])
    assert (scores.strict, scores.ref, scores.raised) == (0.0, 0.0, "UnicodeEncodeError")


def test_the_function_that_was_asked_for_and_no_other() -> None:
    fenced = f"Here:\n```python\n{CLAMP}\n```"
    assert both(turn(fenced), turn(fenced, "merge", MERGE)) == [(1, 1), (0, 0)]
    assert both(turn("I do not know."), turn("", "merge", MERGE)) == [(0, 0), (0, 0)]


@pytest.mark.parametrize(
    ("prediction", "strict", "ref"),
    [
        (
            f"Sure, this is it, as it stands in the file that you gave me:\n\n{CLAMP}\n\nDoes it help you any further?",
            1,
            0,
        ),
        (f"```python\n# This is the function that you have asked me for:\n{CLAMP}", 1, 0),
        (f"```python\n{MERGE}\n\n{CLAMP}\n```", 0, 0),
    ],
)
def test_what_surrounds_the_function(prediction: str, strict: int, ref: int) -> None:
    assert both(turn(prediction), turn("", "merge", MERGE))[0] == (strict, ref)


def test_a_short_function_answers_itself() -> None:
    assert both(turn("def g(): pass", "g", "def g(): pass")) == [(1, 0)]


def test_two_names_of_one_source() -> None:
    assert both(turn(CLAMP), turn(CLAMP, "limit")) == [(1, 1), (1, 0)]


def test_competitors_are_the_sessions_own_or_the_whole_repositorys() -> None:
    asked = (
        "def total(values):\n" + "".join(f"    step_{n} = values[{n}] + {n}\n" for n in range(8)) + "    return step_7"
    )
    nearly = asked.replace("step_3 = values[3]", "step_3 = values[9]")
    other = turn("", "rival", nearly, session="other")  # another session asks for nearly the same function
    mine = turn(nearly, "total", asked)
    assert both(other, mine)[1] == (1, 0)
    assert both(replace(other, session="s"), mine)[1] == (0, 0)
    assert both(replace(other, repo="another"), mine)[1] == (1, 1)


def test_a_mix_scores_each_turn_by_its_part() -> None:
    items = [
        replace(turn(CLAMP), task="mix_repoqa_kv", subtask="code_repoqa"),
        Answered("mix_repoqa_kv", "x1", "x1", subtask="retr_kv", session="s", repo="r"),
        Answered("mix_repoqa_kv", "x2", "x1", subtask="retr_kv", session="s", repo="r"),
    ]
    assert both(*items) == [(1, 1), (1, 1), (0, 0)]
    assert [scores.ref for scores in score_all(items, "multi_request")] == [1, 0, 0]


def test_one_prediction_alone_needs_no_language() -> None:
    assert score("code_repoqa", CLAMP, CLAMP).strict == 1.0
