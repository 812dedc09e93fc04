"""Stories in Chinese, questions with options, and taking scenes out."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from dataclasses import fields, replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest
import solvers
import solvers_stories
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from scbench.errors import ScbenchError
from scbench.tasks.base import FieldError, Task
from scbench.tasks.chinese_stories import CHINESE
from scbench.tasks.en_multichoice import EnMultiChoice
from scbench.tasks.en_qa import EnQA
from scbench.tasks.english_stories import ENGLISH
from scbench.tasks.session import Session, Turn
from scbench.tasks.sessions import make_sessions
from scbench.tasks.stories import Idiom, scenes, tell
from scbench.tasks.zh_qa import ZhQA
from toy_tokenizers import byte_level

TASKS = (ZhQA(), EnMultiChoice())
every_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
every_story = pytest.mark.parametrize("task", [EnQA(), *TASKS], ids=lambda task: task.name)
QUICK = settings(max_examples=25, deadline=None)


class Signs:
    """A token per Chinese character; words of up to four letters, digits by threes."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[str]:
        return re.findall(r" ?[A-Za-z]{1,4}|\d{1,3}|.|\n", text)


class Couples:
    """Two Chinese characters to a token where both are frequent ones, by their code points; single letters."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[str]:
        return re.findall(r"[\u4e00-\u6fff]{1,2}|\d|.|\n", text)


class Bytes:
    """A token per byte of UTF-8."""

    def encode(self, text: str, *, add_special_tokens: bool) -> bytes:
        return text.encode()


def sessions(task: Task, tokenizer: Any = None, **options: Any) -> list[Session]:
    return list(make_sessions(replace(task, **options), tokenizer or Signs()))


def solved(task: Task, context: str, turn: Turn) -> str:
    """The reference solver's answer, as a text."""
    if task.name == "zh_qa":
        return solvers_stories.zh_qa(context, turn.question)
    if task.name == "en_qa":
        return solvers.en_qa(context, turn.question)
    return turn.options["ABCD".index(solvers_stories.en_multichoice(context, turn.question, turn.options))]


@every_task
@pytest.mark.parametrize("length", [1500, 4096, 20_000])
@pytest.mark.parametrize("tokenizer", [Signs(), Couples(), Bytes()], ids=lambda tokenizer: type(tokenizer).__name__)
def test_the_context_has_the_asked_length(task: Task, length: int, tokenizer: Any) -> None:
    for session in sessions(task, tokenizer, length=length, limit=4, turns=2):
        tokens = len(tokenizer.encode(session.context, add_special_tokens=False))
        assert session.tokens == tokens <= length
        assert session.items is not None
        item = 1.5 * tokens / session.items  # scenes differ in length
        assert length - tokens <= max(length / 100, item)
        assert session.characters == len(session.context)


@every_task
@pytest.mark.parametrize("length", [1500, 30_000])
def test_every_question_is_answered_by_the_text_alone(task: Task, length: int) -> None:
    for session in sessions(task, length=length, limit=16):
        for turn in session.turns:
            assert solved(task, session.context, turn) == turn.answer


@every_task
def test_a_size_counts_scenes(task: Task) -> None:
    for session in sessions(task, size=40, limit=2):
        assert session.items == 40
        assert len(re.findall(r"\n\n(?!第\d|Chapter)", session.context)) == 40
        assert session.tokens == len(Signs().encode(session.context, add_special_tokens=False))


HASHES = {"zh_qa": "7d96933d198ba0fe", "en_multichoice": "c2082e25d2918da7"}
PLACES = "CBBAD DCACC BDCBA AADDB"


@every_task
def test_sessions_are_the_same_everywhere(task: Task) -> None:
    (session,) = sessions(task, limit=1)
    assert session.documents == (HASHES[task.name],)
    assert sessions(task, limit=3)[0] == session
    assert sessions(task, limit=1, seed=1)[0].context != session.context


def places(session: Session) -> str:
    return "".join("ABCD"[turn.options.index(str(turn.answer))] for turn in session.turns)


def test_options_are_the_same_everywhere() -> None:
    assert " ".join(places(session) for session in sessions(EnMultiChoice(), limit=4)) == PLACES


@every_task
def test_kinds_of_question_rotate_over_the_turns(task: Task) -> None:
    def kind(question: str) -> int:
        (found,) = [number for number, words in enumerate(ASKED) if re.search(words, question)]
        return found

    asked = [[kind(turn.question) for turn in session.turns] for session in sessions(task, length=3000, limit=12)]
    for turn in range(task.turns):
        assert Counter(kinds[turn] for kinds in asked) == dict.fromkeys(range(4), 3)


ASKED = ("^Who gave|是谁送的", "^Where did|藏在了哪里", "^What did|的是什么东西", "^At what time|哪个节气")


def shape(answer: str) -> str:
    return "time" if re.fullmatch(r"\d+:\d\d|..年..", answer) else "other"


@every_task
def test_answers_are_spread_and_lie_all_over_the_context(task: Task) -> None:
    answers: Counter[str] = Counter()
    depths = []
    for session in sessions(task, length=6000, limit=60):
        found = [str(turn.answer) for turn in session.turns]
        assert len(set(found)) == len(found)
        answers.update(found)
        depths += [session.context.index(answer) / session.characters for answer in found]
    assert answers.most_common(1)[0][1] <= 3
    thirds = Counter(int(3 * depth) for depth in depths)
    assert min(thirds[third] for third in range(3)) > len(depths) / 5


def overlap(guess: str, answer: str) -> float:
    """F1 of the characters, as Zh.QA is scored."""
    common = (Counter(guess) & Counter(answer)).total()
    return 2 * common / (len(guess) + len(answer))


def test_no_fixed_answer_in_chinese_pays() -> None:
    answers = [str(turn.answer) for session in sessions(ZhQA(), length=3000, limit=60) for turn in session.turns]
    best = max(sum(overlap(guess, answer) for answer in answers) / len(answers) for guess in set(answers))
    assert best < 0.15


def test_options_are_four_of_a_kind_out_of_the_same_story() -> None:
    for session in sessions(EnMultiChoice(), length=6000, limit=20):
        for turn in session.turns:
            assert len(set(turn.options)) == 4
            assert turn.answer in turn.options
            assert all(option in session.context for option in turn.options)
            forms = {re.sub(r"[A-Z][a-z]+", "N", re.sub(r"\d+:\d\d", "0", text)).count("N") for text in turn.options}
            assert len(forms) == 1
            assert len({shape(text) for text in turn.options}) == 1


def test_a_story_of_one_scene_has_options_too() -> None:
    for session in sessions(EnMultiChoice(), size=1, turns=1, limit=8):
        (turn,) = session.turns
        assert len(set(turn.options)) == 4
        assert solved(EnMultiChoice(), session.context, turn) == turn.answer


def test_the_right_letter_is_balanced_over_turns_and_sessions() -> None:
    found = [places(session) for session in sessions(EnMultiChoice(), length=1500, limit=80)]
    for turn in range(5):
        for start in range(0, 80, 4):
            assert sorted(letters[turn] for letters in found[start : start + 4]) == list("ABCD")
    follows = Counter(pair for letters in found for pair in pairwise(letters))
    assert len(follows) == 16 and max(follows.values()) < 2.2 * 320 / 16  # no letter tells the next one
    assert len(set(found)) > 70


def test_no_rule_of_thumb_finds_the_right_option() -> None:
    rules = {
        "longest": lambda session, turn: max(turn.options, key=len),
        "first in the story": lambda session, turn: min(turn.options, key=session.context.index),
        "last in the story": lambda session, turn: max(turn.options, key=session.context.rindex),
        "most often in the story": lambda session, turn: max(turn.options, key=session.context.count),
        "least": lambda session, turn: min(turn.options),
    }
    asked = [(session, turn) for session in sessions(EnMultiChoice(), length=4000, limit=100) for turn in session.turns]
    for name, rule in rules.items():
        hits = sum(rule(session, turn) == turn.answer for session, turn in asked)
        assert 0.18 < hits / len(asked) < 0.32, name


@pytest.mark.parametrize("idiom", [ENGLISH, CHINESE], ids=["english", "chinese"])
def test_no_two_scenes_have_the_same_person(idiom: Idiom) -> None:
    told = list(islice(scenes(random.Random("people"), idiom), 3000))
    assert len({scene.person for scene in told}) == 3000
    assert all(scene.giver != scene.person for scene in told)


def test_stories_do_not_repeat_themselves() -> None:
    (session,) = sessions(ZhQA(), length=120_000, limit=1)
    sentences = re.findall(r"[^。\n]+。", session.context)
    assert len(sentences) > 4000
    assert len(set(sentences)) > 0.99 * len(sentences)


def test_chinese_holds_chinese_only() -> None:
    (session,) = sessions(ZhQA(), limit=1)
    assert re.fullmatch(r"[\u4e00-\u9fff，。：\d\n]+", session.context)
    assert session.context.startswith("第1章\n\n")


@every_story
@QUICK
@given(data=st.data())
def test_scenes_that_nobody_asks_about_can_go(task: Task, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, 20))
    session = replace(task, size=60, turns=4).generate(index, Signs())
    groups = task.droppable(session)
    assert len(groups) == 60 - 4 - others_with_the_asked(session, task)
    kept, place = "", 0
    for (span,) in sorted(groups[: data.draw(st.integers(0, len(groups)))]):
        kept += session.context[place : span[0]]
        place = span[1]
    kept += session.context[place:]
    assert not re.search(r"\n{3}|^\n|\n$", kept)
    assert re.findall(r"Chapter \d+|第\d+章", kept) == re.findall(r"Chapter \d+|第\d+章", session.context)
    paragraphs = session.context.split("\n\n")
    assert [text for text in paragraphs if text in kept.split("\n\n")] == kept.split("\n\n")
    for turn in session.turns:
        assert solved(task, kept, turn) == turn.answer


def others_with_the_asked(session: Session, task: Task) -> int:
    """Scenes in which an asked person is the giver."""
    names = [re.findall(r"[A-Z]\w+ [A-Z]\w+|^[^A-Z ]{3}", turn.question)[0] for turn in session.turns]
    scenes_with = [text for text in session.context.split("\n\n") if any(name in text for name in names)]
    return len(scenes_with) - len(names)


def test_wrong_options_go_last() -> None:
    (session,) = sessions(EnMultiChoice(), size=80, limit=1)
    options = [option for turn in session.turns for option in turn.options]
    groups = EnMultiChoice().droppable(session)
    holds = [any(option in session.context[start:stop] for option in options) for ((start, stop),) in groups]
    assert holds == sorted(holds)
    assert {True, False} == set(holds)


@every_story
def test_what_goes_first_lies_all_over_the_story(task: Task) -> None:
    (session,) = sessions(task, size=300, limit=1)
    starts = [group[0][0] / session.characters for group in task.droppable(session)[:90]]
    assert 0.4 < sum(starts) / 90 < 0.6
    assert task.droppable(session) == task.droppable(session)


@every_story
def test_nothing_can_go_from_a_published_book_or_no_book(task: Task) -> None:
    (session,) = sessions(task, size=60, limit=1)
    assert not replace(task, data="books.jsonl").droppable(session)
    assert not task.droppable(replace(session, context=""))


@every_story
def test_an_answer_is_kept_while_its_scene_stands(task: Task) -> None:
    (session,) = sessions(task, size=60, limit=1)
    for turn in session.turns:
        assert task.answer_kept(turn, session.context, session.context)
        (person,) = re.findall(r"[A-Z]\w+ [A-Z]\w+|^[^A-Z ]{3}", turn.question)
        answer = str(turn.answer)
        (scene,) = [text for text in session.context.split("\n\n") if person in text and answer in text]
        without = session.context.replace(scene, "")
        assert not task.answer_kept(turn, session.context, without + answer)
        assert task.answer_kept(turn, session.context, scene)
        assert replace(task, data="books.jsonl").answer_kept(turn, session.context, without + answer)


ROW = {"input": "Who?", "answer": "fox", "options": ["cat", "dog", "fox", "owl"]}


def test_a_published_turn_keeps_its_options() -> None:
    assert EnMultiChoice().parse_turn(ROW) == Turn("Who?", "fox", options=("cat", "dog", "fox", "owl"))


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"options": None}, "options", "expected a list, found nothing"),
        ({"options": "ABCD"}, "options", "expected a list, found a text"),
        ({"options": ["fox"] * 3}, "options", "expected 4 texts, found 3"),
        ({"options": ["a", "b", "fox", "d", "e"]}, "options", "expected 4 texts, found 5"),
        ({"options": ["a", 2, "fox", "d"]}, "options[1]", "expected a text, found a number"),
        ({"options": ["a", "b", "fox", " "]}, "options[3]", "is empty"),
        ({"answer": "C"}, "answer", "is none of the options"),
        ({"answer": "Fox"}, "answer", "is none of the options"),
        ({"answer": ["fox"]}, "answer", "expected a text, found a list"),
        ({"input": ""}, "input", "is empty"),
    ],
)
def test_a_bad_published_turn_is_named(change: dict[str, Any], field: str, reason: str) -> None:
    with pytest.raises(FieldError) as caught:
        EnMultiChoice().parse_turn(ROW | change)
    assert (caught.value.field, caught.value.reason) == (field, reason)


@every_task
def test_a_context_too_short_for_the_questions_is_an_error(task: Task) -> None:
    with pytest.raises(ScbenchError, match=r"task\.length=40 holds \d+ scenes, but the questions need"):
        sessions(task, length=40)


@every_task
def test_a_story_of_few_scenes_is_asked_about_different_facts(task: Task) -> None:
    for session in sessions(task, size=2, turns=8, limit=4):
        assert len({(turn.question, turn.answer) for turn in session.turns}) == 8
        assert all(str(turn.answer) in session.context for turn in session.turns)


@every_task
def test_a_real_tokenizer_counts_the_same(task: Task) -> None:
    tokenizer = byte_level(("<s>",), eos="<s>", bos="<s>", adds_bos=True)
    (session,) = sessions(task, tokenizer, length=6000, limit=1, turns=2)
    assert len(tokenizer(session.context, add_special_tokens=False)["input_ids"]) == session.tokens <= 6000


@pytest.mark.parametrize(("idiom", "signs"), [(ENGLISH, 4.5), (CHINESE, 1.8)], ids=["english", "chinese"])
def test_stories_are_told_fast(idiom: Idiom, signs: float) -> None:
    began = time.perf_counter()
    text = tell(list(islice(scenes(random.Random(0), idiom), 3000)), idiom)
    assert len(text) / signs / (time.perf_counter() - began) > 500_000  # 2M tokens/s on an idle machine


@pytest.mark.slow
@every_story
def test_a_million_tokens_fit(task: Task) -> None:
    (session,) = sessions(task, length=1_000_000, limit=1)
    assert 990_000 <= session.tokens <= 1_000_000
    for turn in session.turns:
        assert solved(task, session.context, turn) == turn.answer
    assert len(task.droppable(session)) > 5000


@every_task
def test_the_yaml_lists_the_options(task: Task) -> None:
    text = (Path(__file__).parents[2] / "conf" / "task" / f"{task.name}.yaml").read_text()
    listed = yaml.safe_load(text)
    assert text.startswith("# ")
    assert listed.pop("_target_") == f"{type(task).__module__}.{type(task).__name__}"
    assert listed == {field.name: getattr(task, field.name) for field in fields(task)}
