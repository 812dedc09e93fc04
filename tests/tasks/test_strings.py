from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import fields, replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest
import solvers_strings as solvers
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from scbench.errors import ScbenchError
from scbench.tasks.base import FieldError, Task
from scbench.tasks.icl_manyshot import ICLManyShot, Kind
from scbench.tasks.puzzles import Puzzle
from scbench.tasks.retr_multihop import RetrMultiHop
from scbench.tasks.retr_prefix_suffix import RetrPrefixSuffix
from scbench.tasks.session import Session, Turn
from scbench.tasks.sessions import make_sessions
from toy_tokenizers import byte_level

TASKS = (RetrPrefixSuffix(), RetrMultiHop(), ICLManyShot())
every_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)


class Pieces:
    """Tokens that a regular expression finds; counts the passes over long texts."""

    def __init__(self, pattern: str) -> None:
        self.pattern = re.compile(pattern, re.DOTALL)
        self.read: list[int] = []

    def encode(self, text: str, *, add_special_tokens: bool) -> list[str]:
        assert not add_special_tokens
        self.read.append(len(text))
        return self.pattern.findall(text)


WORDS = r" ?[A-Za-z]{1,4}|\d{1,3}|[^\w ]|\s"  # about the lengths of a large vocabulary
TOKENIZERS = (WORDS, r"[A-Za-z]+|\d|[^\w]", r"[A-Z][a-z]{0,2}|[a-z]{1,3}|[13579]?\d|[^\w]", r"..?.?.?")


def sessions(task: Task, tokenizer: Any = None, **options: Any) -> list[Session]:
    return list(make_sessions(replace(task, **options), tokenizer or Pieces(WORDS)))


def solve(task: Task, context: str, question: str) -> Any:
    return getattr(solvers, task.name)(context, question)


@every_task
@pytest.mark.parametrize("length", [1024, 5000, 20_000])
@pytest.mark.parametrize("pattern", TOKENIZERS)
def test_the_context_has_the_asked_length(task: Task, length: int, pattern: str) -> None:
    tokenizer = Pieces(pattern)
    for session in sessions(task, tokenizer, length=length, limit=3, turns=3):
        tokens = len(tokenizer.encode(session.context, add_special_tokens=False))
        assert session.tokens == tokens <= length
        assert session.items is not None
        assert length - tokens <= max(length / 100, 1.6 * tokens / session.items)  # items differ in length
        assert session.characters == len(session.context)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(TASKS), st.integers(1024, 6000), st.integers(0, 10**6), st.sampled_from(TOKENIZERS))
def test_any_length_and_seed_is_answered_by_the_text_alone(task: Task, length: int, seed: int, pattern: str) -> None:
    (session,) = sessions(task, Pieces(pattern), length=length, seed=seed, limit=1, turns=3)
    assert session.tokens <= length
    for turn in session.turns:
        assert solve(task, session.context, turn.question) == turn.answer


@every_task
@pytest.mark.parametrize("length", [2048, 30_000])
def test_every_question_is_answered_by_the_text_alone(task: Task, length: int) -> None:
    for session in sessions(task, length=length, limit=24):
        assert len(session.turns) == 5
        for turn in session.turns:
            assert solve(task, session.context, turn.question) == turn.answer


@every_task
def test_items_may_be_counted_instead(task: Task) -> None:
    short, long = (sessions(task, limit=1, size=size)[0] for size in (60, 61))
    assert (short.items, long.items) == (60, 61)
    assert long.characters > short.characters


@pytest.mark.parametrize("task", [RetrPrefixSuffix(size=9), RetrMultiHop(size=19)], ids=lambda task: task.name)
def test_too_few_items_for_the_questions_are_an_error(task: Task) -> None:
    assert sessions(task, size=(task.size or 0) + 1, limit=1)
    with pytest.raises(ScbenchError, match=r"task\.size=(9|19) holds \1 \w+, but the questions need (10|20)"):
        sessions(task)


@every_task
def test_a_session_depends_on_its_number_and_the_seed_alone(task: Task) -> None:
    few, many = sessions(task, limit=2), sessions(task, limit=4)
    assert many[:2] == few
    other = sessions(task, limit=2, seed=1)
    assert len({session.documents for session in many + other}) == 6
    assert all(a.turns != b.turns for a, b in zip(few, other, strict=True))


HASHES = {
    "retr_prefix_suffix": ("cdbe8d8c132e1b66", "cc9cb9e93a769371", "fd5de43b4cd5dff4"),
    "retr_multihop": ("23b6c511500f9fbf", "95984dc64031de50", "89f64e176b2ad3ad"),
    "icl_manyshot": ("76c94a1459e8f384", "5c79d6ae0caa915e", "78313f45a9943bf1"),
}


@every_task
def test_sessions_are_the_same_everywhere(task: Task) -> None:
    assert tuple(session.documents[0] for session in sessions(task, limit=3)) == HASHES[task.name]


def test_another_process_makes_the_same_sessions() -> None:
    code = (
        "import test_strings as t; print({task.name: tuple(s.documents[0] for s in t.sessions(task, limit=3))"
        " for task in t.TASKS} == t.HASHES)"
    )
    here = Path(__file__).parent
    paths = os.pathsep.join(map(str, (here, here.parent, here.parents[1] / "src")))
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": paths, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == ["True"]


@every_task
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_what_may_be_dropped_is_not_needed(task: Task, share: float) -> None:
    for session in sessions(task, length=3000, limit=3):
        groups = task.droppable(session)
        spans = sorted(span for group in groups for span in group)
        assert len(spans) > 10 or (task.name == "icl_manyshot" and len(spans) > 3)
        assert all(a[1] <= b[0] for a, b in pairwise(spans))
        left = without(session.context, groups[: round(share * len(groups))])
        assert len(left) < len(session.context) or not share
        assert left.strip() == left
        for turn in session.turns:
            assert solve(task, left, turn.question) == turn.answer


def without(context: str, groups: Any) -> str:
    for start, stop in sorted((span for group in groups for span in group), reverse=True):
        context = context[:start] + context[stop:]
    return context


@every_task
def test_a_context_too_short_for_the_questions_is_an_error(task: Task) -> None:
    with pytest.raises(ScbenchError, match=r"task\.length=40 holds \d+ \w+, but the questions need"):
        sessions(task, length=40)


@every_task
def test_a_real_tokenizer_counts_the_same(task: Task) -> None:
    tokenizer = byte_level(("<s>",), eos="<s>", bos="<s>", adds_bos=True)
    (session,) = sessions(task, tokenizer, length=8000, limit=1, turns=2)
    assert len(tokenizer(session.context, add_special_tokens=False)["input_ids"]) == session.tokens <= 8000


class Quarters:
    """Four characters a token, at no cost."""

    def __init__(self) -> None:
        self.read: list[int] = []

    def encode(self, text: str, *, add_special_tokens: bool) -> range:
        self.read.append(len(text) // 4)
        return range(len(text) // 4)


@every_task
def test_long_contexts_are_made_fast_and_read_twice(task: Task) -> None:
    for index in range(3):
        tokenizer = Quarters()
        start = time.process_time()
        session = replace(task, length=400_000).generate(index, tokenizer)  # type: ignore[arg-type]
        took = time.process_time() - start
        assert 396_000 <= session.tokens <= 400_000
        assert sum(tokenizer.read) < 2.5 * 400_000
        assert took < 2  # a fifth of what is aimed at, as the machine may be busy


@every_task
def test_the_yaml_lists_the_options(task: Task) -> None:
    path = Path(__file__).parents[2] / "conf" / "task" / f"{task.name}.yaml"
    listed = yaml.safe_load(path.read_text())
    assert listed.pop("_target_") == f"{type(task).__module__}.{type(task).__name__}"
    assert listed == {field.name: getattr(task, field.name) for field in fields(task)}


def words_of(session: Session) -> list[str]:
    return re.findall(r"'(\w+)'", session.context)


@pytest.mark.parametrize("turns", [1, 2, 5])
def test_words_have_near_misses_on_either_side(turns: int) -> None:
    for session in sessions(RetrPrefixSuffix(), length=4096, limit=6, turns=turns):
        words = words_of(session)
        assert len(words) == len(set(words)) == session.items
        assert all(65 <= len(word) < 123 for word in words)
        for turn in session.turns:
            prefix, suffix = re.findall(r": (\w+)[;.]", turn.question)
            begin = {word for word in words if word.startswith(prefix)}
            end = {word for word in words if word.endswith(suffix)}
            assert len(begin) == len(end) == 3
            assert begin & end == {turn.answer}


def test_word_lengths_and_characters_are_uniform() -> None:
    (session,) = sessions(RetrPrefixSuffix(), size=6000, limit=1)
    lengths = Counter(len(word) for word in words_of(session))
    assert set(lengths) == set(range(65, 123))
    assert max(lengths.values()) < 6000 / 58 + 60 and min(lengths.values()) > 6000 / 58 - 60  # six deviations
    characters = Counter("".join(words_of(session)))
    expected = sum(characters.values()) / 62
    assert len(characters) == 62
    assert all(abs(count / expected - 1) < 0.07 for count in characters.values())


def test_asked_words_are_all_over_the_list() -> None:
    depths = []
    for session in sessions(RetrPrefixSuffix(), length=4096, limit=30):
        depths += [session.context.index(str(turn.answer)) / session.characters for turn in session.turns]
    thirds = Counter(int(3 * depth) for depth in depths)
    assert min(thirds[0], thirds[1], thirds[2]) > len(depths) / 5


def test_chains_are_scattered_in_order_and_mixed() -> None:
    line = r"VAR [A-Z]{5} = (?:VAR [A-Z]{5}|\d{5}) \. "
    mixed = 0
    names_of_all = set()
    for session in sessions(RetrMultiHop(), length=8000, limit=10):
        lines = [match.start() / session.characters for match in re.finditer(line, session.context + " ")]
        assert len(lines) == 15
        assert all(abs(depth - (place + 0.5) / 15) < 1.5 / 15 for place, depth in enumerate(lines))
        rest = re.sub(line, "", session.context.partition("\n\n")[2] + " ")
        noise = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again. "
        assert rest == noise * ((session.items or 0) - 15)
        answers = [tuple(turn.answer) for turn in session.turns]  # type: ignore[arg-type]
        assert all(len(names) == 3 for names in answers)
        firsts = [[session.context.index(f"VAR {name} =") for name in names] for names in answers]
        assert all(places == sorted(places) for places in firsts)
        mixed += sum(firsts[place][0] > firsts[place - 1][0] for place in range(1, 5))
        names_of_all |= {name for names in answers for name in names}
    assert 10 < mixed < 30  # of 40: the order of questions is not the order of chains
    assert len(names_of_all) == 150
    assert not any(re.search("[AEIOUY]", name) for name in names_of_all)


def shots_of(session: Session) -> list[tuple[str, str]]:
    return re.findall(r"(Question: .*?\nAnswer:) \(([A-G])\)(?:\n\n|$)", session.context, re.DOTALL)


def test_kinds_of_puzzle_rotate_over_the_sessions() -> None:
    kinds = []
    for session in sessions(ICLManyShot(), limit=9):
        texts = [question for question, _ in shots_of(session)] + [turn.question for turn in session.turns]
        (kind,) = {("German:" in text) + 2 * ("At the start" in text) for text in texts}
        kinds.append(kind)
    assert kinds == [0, 1, 2] * 3


def test_shots_are_right_and_different_from_the_questions() -> None:
    for session in sessions(ICLManyShot(), length=20_000, limit=6):
        shots = shots_of(session)
        assert len(shots) == session.items
        assert all(solvers.icl_manyshot(session.context, question) == letter for question, letter in shots)
        bodies = [question.partition("\nOptions:")[0] for question, _ in shots]
        bodies += [turn.question.partition("\nOptions:")[0] for turn in session.turns]
        assert len(set(bodies)) == len(bodies)


def test_letters_are_balanced_in_shots_and_questions() -> None:
    asked: Counter[Any] = Counter()
    for session in sessions(ICLManyShot(), length=20_000, limit=60):
        options = "ABCDEFG" if "At the start" in session.context else "ABCDEF"
        shots = Counter(letter for _, letter in shots_of(session))
        assert set(shots) == set(options) and max(shots.values()) - min(shots.values()) <= 1
        letters = [turn.answer for turn in session.turns]
        assert len(set(letters)) == len(letters) == 5
        asked.update(letters)
    assert max(asked.values()) < 0.23 * 300  # chance is a sixth or a seventh


def test_the_right_option_cannot_be_told_from_the_options() -> None:
    """By its rank among the dates; by being what the person had first; by which kind of error it is."""
    ranks: Counter[int] = Counter()
    firsts = total = 0
    kinds: Counter[str] = Counter()
    for session in sessions(ICLManyShot(), length=20_000, limit=12):
        for question, letter in shots_of(session):
            options = re.findall(r"\n\(([A-G])\) (.+)", question)
            right = dict(options)[letter]
            if "German:" in question:
                kinds[right] += 1
            elif "At the start" in question:
                (person,) = re.findall(r"does (\w+)", question)
                total += 1
                firsts += bool(re.search(rf"\b{person} (gets the|dances with|borrows|starts as) {right}\b", question))
            else:
                ordered = sorted((text[6:], text[:5], mark) for mark, text in options)
                ranks[[mark for *_, mark in ordered].index(letter)] += 1
    assert set(ranks) == set(range(6)) and max(ranks.values()) < 1.35 * sum(ranks.values()) / 6
    assert len(kinds) == 6 and max(kinds.values()) < 1.35 * sum(kinds.values()) / 6
    assert 0 < firsts / total < 1 / 7 + 0.05


PREFIX = "Prefix: ab; Suffix: yz. The word with both prefix and suffix from the dict is: "
LETTERS = "Question: x\n(A) 1 (B) 2\nAnswer:"


@pytest.mark.parametrize(
    ("task", "raw", "turn"),
    [
        (RetrPrefixSuffix(), {"input": PREFIX, "answer": "abyz"}, Turn(PREFIX, "abyz")),
        (RetrPrefixSuffix(), {"input": "Which?", "answer": "abyz"}, Turn("Which?", "abyz")),
        (RetrMultiHop(), {"input": "q", "answer": ["A", "B"]}, Turn("q", ("A", "B"))),
        (ICLManyShot(), {"input": LETTERS, "answer": "B"}, Turn(LETTERS, "B")),
    ],
)
def test_a_published_turn_is_read(task: Task, raw: Any, turn: Turn) -> None:
    assert task.parse_turn(raw) == turn


@pytest.mark.parametrize(
    ("task", "raw", "field", "reason"),
    [
        (RetrPrefixSuffix(), {"input": PREFIX, "answer": "abc"}, "answer", "does not start with ab and end with yz"),
        (RetrMultiHop(), {"input": "q", "answer": "A"}, "answer", "expected a list of texts, found a text"),
        (RetrMultiHop(), {"input": "q", "answer": []}, "answer", "is empty"),
        (RetrMultiHop(), {"input": "q", "answer": ["A", 1]}, r"answer\[1\]", "expected a text, found a number"),
        (RetrMultiHop(), {"answer": ["A"]}, "input", "expected a text, found nothing"),
        (ICLManyShot(), {"input": "q", "answer": "A"}, "input", "has no options"),
        (ICLManyShot(), {"input": LETTERS, "answer": "C"}, "answer", "'C' is not the letter of one of .* A, B"),
        (ICLManyShot(), {"input": LETTERS, "answer": "AB"}, "answer", "'AB' is not the letter"),
    ],
)
def test_a_bad_turn_is_named(task: Task, raw: Any, field: str, reason: str) -> None:
    with pytest.raises(FieldError, match=f"^{field}: {reason}"):
        task.parse_turn(raw)


def test_the_context_of_multihop_is_under_input() -> None:
    assert RetrMultiHop.context_field == "input"
    assert RetrMultiHop().parse_context("text") == ("text", None)
    with pytest.raises(FieldError, match=r"^input: expected a text, found nothing"):
        RetrMultiHop().parse_context(None)


def test_multihop_has_a_value_per_turn() -> None:
    with pytest.raises(ScbenchError, match=r"task\.turns=90001: Retr\.MultiHop has 90000 values"):
        RetrMultiHop(turns=90_001)


def test_any_part_of_a_published_text_may_be_dropped_but_answers() -> None:
    context = "Dictionary: ['abxyz', 'other', 'abq', 'qyz', 'last']"
    session = Session("row", "retr_prefix_suffix", "x", context, (Turn(PREFIX, "abxyz"),), (), 0, 0)
    groups = RetrPrefixSuffix().droppable(session)
    assert without(context, groups) == "Dictionary: ['abxyz', 'last']"
    assert without(context, groups[:1]) == "Dictionary: ['abxyz', 'abq', 'qyz', 'last']"  # near misses go last


def test_a_puzzle_is_not_told_twice() -> None:
    kind = Kind(lambda source: Puzzle(str(source.randrange(8)), "right", ("wrong",)), 2)
    known = {"3", "5"}
    solved = list(islice(ICLManyShot()._solved(0, "shots", kind, known), 6))
    assert sorted(question[10] for question, _ in solved) == list("012467")
    assert known == set("01234567")
