"""Dropping whole items: any number of groups leaves a context of the same form, with the same answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median, multimode
from typing import Any

import pytest
import solvers
from hypothesis import given, settings
from hypothesis import strategies as st
from published_rows import ROWS

from scbench.tasks.base import Task
from scbench.tasks.en_qa import EnQA
from scbench.tasks.math_find import MathFind
from scbench.tasks.retr_kv import RetrKV
from scbench.tasks.session import Session, Turn
from scbench.tasks.shrink import drop, fewest, separated


class Words:
    def encode(self, text: str, *, add_special_tokens: bool) -> list[str]:
        return re.findall(r"[A-Za-z]+|\d|[^\w]", text)


def session_of(task: Task, context: str, turns: Sequence[Turn]) -> Session:
    return Session("a", task.name, "made", context, tuple(turns), ("d",), len(context), 0)


def oracle(numbers: Sequence[float]) -> dict[str, Any]:
    """By Python's own statistics module and sorting; both readings of `second`."""
    ordered, distinct = sorted(numbers), sorted(set(numbers))
    return {
        "largest": ordered[-1],
        "smallest": ordered[0],
        "median": median(numbers),
        "second largest": (ordered[-2], distinct[-2:][0]),
        "second smallest": (ordered[1], distinct[:2][-1]),
        "most frequent": multimode(numbers),
    }


@pytest.mark.parametrize("task", [RetrKV(length=3000), MathFind(length=3000)], ids=lambda task: task.name)
@given(share=st.floats(0, 1), index=st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_generated_contexts_keep_every_answer(task: Task, share: float, index: int) -> None:
    session = task.generate(index, Words())
    groups = task.droppable(session)
    count = round(share * len(groups))
    left = drop(session, groups[:count])
    solve: Callable[[str, str], Any] = getattr(solvers, task.name)
    assert [solve(left.context, turn.question) for turn in left.turns] == [turn.answer for turn in session.turns]
    assert all(task.answer_kept(turn, session.context, left.context) for turn in session.turns)
    pattern = r'"[^"]+": "[^"]+"' if task.name == "retr_kv" else r"\d{3}"
    size = 1 if task.name == "retr_kv" else 2
    items = re.findall(pattern, left.context)
    assert len(items) == len(re.findall(pattern, session.context)) - size * count
    assert ", ".join(items) in left.context, "the form is the same, with one separator between two items"


def test_most_of_a_generated_context_may_go() -> None:
    for task, least in ((RetrKV(length=8192), 0.9), (MathFind(length=8192), 0.9)):
        session = task.generate(0, Words())
        spans = sum(len(group) for group in task.droppable(session))
        assert spans / (session.items or 0) > least


PAIRS = st.dictionaries(st.text(max_size=6), st.text(max_size=6), min_size=1, max_size=30)


@given(PAIRS, st.data())
@settings(deadline=None)
def test_a_json_object_of_any_texts_stays_one(pairs: dict[str, str], data: st.DataObject) -> None:
    asked = data.draw(st.lists(st.sampled_from(sorted(pairs)), min_size=1, max_size=3))
    layout = data.draw(st.sampled_from([(", ", ": "), (",", ":"), (",\n ", " : ")]))
    context = json.dumps(pairs, separators=layout, ensure_ascii=data.draw(st.booleans()))
    turns = [Turn(f"Key: {json.dumps(key, ensure_ascii=False)}", pairs[key]) for key in asked]
    task = RetrKV()
    session = session_of(task, context, turns)
    groups = task.droppable(session)
    left = json.loads(drop(session, groups[: data.draw(st.integers(0, len(groups)))]).context)
    assert left.items() <= pairs.items()
    assert list(left) == [key for key in pairs if key in left]
    assert all(left[key] == pairs[key] for key in asked)


@given(st.lists(st.integers(0, 60), min_size=24, max_size=200), st.floats(0, 1))
@settings(deadline=None)
def test_any_array_keeps_its_six_statistics(numbers: list[int], share: float) -> None:
    task = MathFind()
    turns = [Turn(f"The {name} number of the list is: ", 0) for name in oracle(numbers)]
    session = session_of(task, str(numbers), turns)
    groups = task.droppable(session)
    left = json.loads(drop(session, groups[: round(share * len(groups))]).context)
    before, after = oracle(numbers), oracle(left)
    assert after == before
    assert len(left) == len(numbers) - 2 * round(share * len(groups))


def test_published_rows_may_be_shrunk_too() -> None:
    _, (row, *_) = ROWS["retr_kv"]
    turns = [Turn(raw["input"], raw["answer"]) for raw in row["multi_turns"]]
    task = RetrKV()
    session = session_of(task, row["context"], turns)
    groups = task.droppable(session)
    assert len(groups) == 3
    assert json.loads(drop(session, groups).context) == {
        key: value for key, value in json.loads(row["context"]).items() if value in {turn.answer for turn in turns}
    }


def test_what_is_not_known_is_not_dropped() -> None:
    numbers = str(list(range(100, 200)))
    assert MathFind().droppable(session_of(MathFind(), numbers, [Turn("The third largest number is: ", 197)])) == ()
    assert RetrKV().droppable(session_of(RetrKV(), '{"a": "b"}', [Turn("Key: x", "y")])) == []
    assert EnQA().droppable(session_of(EnQA(), "A story.", [Turn("Who?", "story")])) == []
    assert (RetrKV.has_items(), MathFind.has_items(), Task.has_items()) == (True, True, False)


@pytest.mark.parametrize(
    ("task", "turn", "kept", "expected"),
    [
        (EnQA(), Turn("Who?", "Bo"), "Ann and Bo", True),
        (EnQA(), Turn("Who?", "Bo"), "Ann", False),
        (EnQA(), Turn("Sum up.", "No part of it"), "Ann", True),
        (EnQA(), Turn("Who?", ("Ann", "Bo")), "Ann", False),
        (EnQA(), Turn("Who?", ("Ann", "Bo")), "Ann, Bo", True),
    ],
)
def test_an_answer_is_cut_where_it_stood_and_stands_no_more(task: Task, turn: Turn, kept: str, expected: bool) -> None:
    assert task.answer_kept(turn, "Ann and Bo. Ann, Bo.", kept) is expected


def test_a_pair_is_cut_where_its_key_is() -> None:
    whole = '{"key-1": "v-1", "key-2": "v-2"}'
    turn = Turn('Key: "key-2"', "v-2")
    assert RetrKV().answer_kept(turn, whole, '{"key-2": "v-2"}')
    assert not RetrKV().answer_kept(turn, whole, '{"key-1": "v-2"}')


def test_a_statistic_is_cut_where_it_has_changed() -> None:
    whole, task = "[100, 200, 300, 400, 500]", MathFind()
    assert task.answer_kept(Turn("The largest number is: ", 500), whole, "[100, 500]")
    assert not task.answer_kept(Turn("The second largest number is: ", 400), whole, "[100, 500]")
    assert not task.answer_kept(Turn("The largest number is: ", 500), whole, "[100, 200")


@given(st.integers(1, 3000), st.data())
def test_the_fewest_are_found_in_few_steps(count: int, data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(30, 50), min_size=1, max_size=20))
    gone = [0]
    for place in range(count):
        gone.append(gone[-1] + sizes[place % len(sizes)])
    excess = data.draw(st.integers(1, gone[-1] + 50))
    asked: list[int] = []

    def above(dropped: int) -> int:
        asked.append(dropped)
        return excess - gone[dropped]

    found = fewest(count, above)
    expected = next((n for n in range(count + 1) if gone[n] >= excess), None)
    assert found == expected
    assert len(set(asked)) <= 16


@given(st.integers(1, 12), st.data())
def test_a_list_keeps_one_separator_between_any_two(count: int, data: st.DataObject) -> None:
    text = ",".join("abcdefghijkl"[:count])
    kept = data.draw(st.sets(st.integers(0, count - 1)))
    spans = separated([(2 * place, 2 * place + 1) for place in range(count)], kept)
    assert set(spans) == (set(range(count)) - kept if kept else set())
    gone = data.draw(st.permutations(sorted(spans)))[: data.draw(st.integers(0, len(spans)))]
    left = drop(replace(session_of(EnQA(), text, [])), [(spans[place],) for place in gone]).context
    assert left == ",".join("abcdefghijkl"[place] for place in range(count) if place not in gone)
