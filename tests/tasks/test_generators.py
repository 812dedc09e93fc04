from __future__ import annotations

import random
import re
import time
import zlib
from collections import Counter
from dataclasses import fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import solvers
import yaml

from scbench.errors import ScbenchError
from scbench.scoring import score
from scbench.tasks.base import Task
from scbench.tasks.en_qa import EnQA
from scbench.tasks.english_stories import ENGLISH
from scbench.tasks.math_find import MathFind
from scbench.tasks.retr_kv import RetrKV
from scbench.tasks.session import Session
from scbench.tasks.sessions import make_sessions
from scbench.tasks.stories import scenes
from toy_tokenizers import byte_level

TASKS = (RetrKV(), MathFind(), EnQA())
every_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)


class Words:
    """Words of up to four letters, digits by threes, and signs: about the lengths of a large vocabulary."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[str]:
        return re.findall(r" ?[A-Za-z]{1,4}|\d{1,3}|[^\w ]|\s", text)


class Digits:
    """Single digits and letters, as the tokenizers of Qwen and SmolLM do with numbers."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[str]:
        return re.findall(r"[A-Za-z]+|\d|[^\w]", text)


class Pairs:
    """Digits in ones and twos by their values, so that numbers differ in length."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[str]:
        return re.findall(r"[A-Za-z]+|[13579]?\d|[^\w]", text)


def sessions(task: Task, tokenizer: Any = None, **options: Any) -> list[Session]:
    return list(make_sessions(replace(task, **options), tokenizer or Words()))


@every_task
@pytest.mark.parametrize("length", [1024, 4096, 20_000])
@pytest.mark.parametrize("tokenizer", [Words(), Digits(), Pairs()], ids=lambda tokenizer: type(tokenizer).__name__)
def test_the_context_has_the_asked_length(task: Task, length: int, tokenizer: Any) -> None:
    for session in sessions(task, tokenizer, length=length, limit=4, turns=3):
        tokens = len(tokenizer.encode(session.context, add_special_tokens=False))
        assert session.tokens == tokens <= length
        assert session.items is not None
        item = 1.5 * tokens / session.items  # items differ in length
        assert length - tokens <= max(length / 100, item)
        assert session.characters == len(session.context)


@every_task
@pytest.mark.parametrize("length", [1500, 30_000])
def test_every_question_is_answered_by_the_text_alone(task: Task, length: int) -> None:
    solve = getattr(solvers, task.name)
    for session in sessions(task, length=length, limit=24):
        for turn in session.turns:
            answer = solve(session.context, turn.question)
            assert answer == turn.answer
            assert score(task.name, str(answer), turn.answer).strict == 1.0
            assert score(task.name, str(answer), turn.answer).ref == 1.0


@every_task
def test_a_session_depends_on_its_number_and_the_seed_alone(task: Task) -> None:
    few, many = sessions(task, limit=2), sessions(task, limit=4)
    assert many[:2] == few
    assert sessions(task, limit=2) == few
    assert len({session.documents for session in many}) == len({session.id for session in many}) == 4
    other = sessions(task, limit=2, seed=1)
    assert {session.id for session in other}.isdisjoint(session.id for session in few)
    assert all(a.context != b.context for a, b in zip(few, other, strict=True))


HASHES = {"retr_kv": "71bae9b99239955f", "math_find": "64d8876ee07adf3c", "en_qa": "f40217d39106db30"}


@every_task
def test_sessions_are_the_same_everywhere(task: Task) -> None:
    (session,) = sessions(task, limit=1)
    assert session.documents == (HASHES[task.name],)


@every_task
def test_kinds_of_question_rotate_over_the_turns(task: Task) -> None:
    def kind(question: str) -> str:
        return re.sub(r'[A-Z]\w+ [A-Z]\w+|the [\w-]+ [\w-]+\?|".*"', "", question)

    asked = [[kind(turn.question) for turn in session.turns] for session in sessions(task, length=2048, limit=12)]
    kinds = {kind for turns in asked for kind in turns}
    for turn in range(task.turns):
        counts = Counter(turns[turn] for turns in asked)
        assert counts == dict.fromkeys(kinds, 12 // len(kinds))


@every_task
def test_turns_ask_for_different_things_all_over_the_context(task: Task) -> None:
    depths = []
    for session in sessions(task, length=4096, limit=30):
        answers = [str(turn.answer) for turn in session.turns]
        assert len(set(answers)) == len(answers)
        depths += [session.context.index(answer) / session.characters for answer in answers]
    thirds = Counter(int(3 * depth) for depth in depths)
    if task.name != "math_find":  # whose answers are about the whole array
        assert min(thirds[0], thirds[1], thirds[2]) > len(depths) / 5


@every_task
def test_a_context_too_short_for_the_questions_is_an_error(task: Task) -> None:
    with pytest.raises(ScbenchError, match=r"task\.length=40 holds \d+ \w+, but the questions need"):
        sessions(task, length=40)


@pytest.mark.parametrize("option", ["length", "limit", "turns", "max_new_tokens"])
def test_options_below_one_are_errors(option: str) -> None:
    with pytest.raises(ScbenchError, match=rf"task\.{option}=0: must be at least 1"):
        RetrKV(**{option: 0})


def test_math_find_has_six_statistics() -> None:
    with pytest.raises(ScbenchError, match=r"task\.turns=7: Math\.Find has 6 statistics"):
        MathFind(turns=7)


def test_retr_kv_is_a_map_of_uuids_that_does_not_compress() -> None:
    (session,) = sessions(RetrKV(), length=60_000, limit=1)
    values = re.findall(r'"([^"]*)"', session.context)
    assert len(values) == len(set(values)) == 2 * (session.items or 0)
    assert all(re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){2}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", v) for v in values)
    digits = "".join(values).replace("-", "")
    assert len(zlib.compress(digits.encode(), 9)) > 0.56 * len(digits)  # 4 bits in 8, plus the version's digits


def test_math_find_is_a_list_of_three_digit_numbers_as_python_writes_it() -> None:
    for session in sessions(MathFind(), limit=3):
        assert re.fullmatch(r"\[\d{3}(, \d{3})*\]", session.context)
        assert session.context.count(",") + 1 == session.items
        assert all(re.search("The .+ is", turn.question) for turn in session.turns)


def test_math_find_answers_cannot_be_guessed_from_each_other() -> None:
    gaps = Counter()
    medians = []
    for session in sessions(MathFind(), length=3000, limit=60):
        by_name = {re.findall("The (.+) number", t.question)[0]: int(str(t.answer)) for t in session.turns}
        gaps[by_name["largest"] - by_name["second largest"]] += 1
        medians.append(by_name["median"] - (by_name["largest"] + by_name["smallest"]) / 2)
    assert max(gaps.values()) <= 6
    assert max(medians) - min(medians) > 200


def test_no_two_scenes_have_the_same_person() -> None:
    people = [scene.person for scene in islice(scenes(random.Random("people"), ENGLISH), 2000)]  # 28 repeats by chance
    assert len(set(people)) == len(people)


def test_stories_do_not_repeat_themselves() -> None:
    (session,) = sessions(EnQA(), length=120_000, limit=1)
    sentences = re.split(r"(?<=[.])\s+", re.sub(r"Chapter \d+\n\n", "", session.context))
    assert len(sentences) > 4000
    assert len(set(sentences)) > 0.99 * len(sentences)


@every_task
def test_a_real_tokenizer_counts_the_same(task: Task) -> None:
    tokenizer = byte_level(("<s>",), eos="<s>", bos="<s>", adds_bos=True)
    (session,) = sessions(task, tokenizer, length=6000, limit=1, turns=2)
    assert len(tokenizer(session.context, add_special_tokens=False)["input_ids"]) == session.tokens <= 6000


@every_task
def test_generation_is_fast_and_long_contexts_fit(task: Task) -> None:
    start = time.perf_counter()
    (session,) = sessions(task, length=200_000, limit=1)
    assert 198_000 <= session.tokens <= 200_000
    assert time.perf_counter() - start < 5


@every_task
def test_the_yaml_lists_the_options(task: Task) -> None:
    path = Path(__file__).parents[2] / "conf" / "task" / f"{task.name}.yaml"
    text = path.read_text()
    listed = yaml.safe_load(text)
    assert text.startswith("# ")
    assert listed.pop("_target_") == f"{type(task).__module__}.{type(task).__name__}"
    assert listed == {field.name: getattr(task, field.name) for field in fields(task)}
