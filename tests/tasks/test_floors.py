"""Sessions without their context, or with another session's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scbench.errors import ScbenchError
from scbench.tasks.base import Task
from scbench.tasks.en_multichoice import EnMultiChoice
from scbench.tasks.en_qa import EnQA
from scbench.tasks.floor import LOOK_AHEAD, floored
from scbench.tasks.retr_kv import RetrKV
from scbench.tasks.session import Session, Turn
from scbench.tasks.sessions import make_sessions, read, write
from scbench.tasks.zh_qa import ZhQA

TASKS = (RetrKV(), EnQA(), ZhQA(), EnMultiChoice())
every_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)


class Letters:
    def encode(self, text: str, *, add_special_tokens: bool) -> list[str]:
        return list(text)


def sessions(task: Task, context: str, **options: Any) -> list[Session]:
    return list(make_sessions(replace(task, context=context, **{"length": 5000, "turns": 2} | options), Letters()))


def row(context: str) -> dict[str, Any]:
    return {"context": context, "multi_turns": [{"input": f"What is {context}?", "answer": context}]}


def data(path: Path, *contexts: str) -> str:
    path.write_text("".join(json.dumps(row(context)) + "\n" for context in contexts))
    return str(path)


@every_task
def test_without_context_the_questions_stay(task: Task) -> None:
    for full, floor in zip(sessions(task, "full"), sessions(task, "none"), strict=True):
        assert floor == replace(full, context="", characters=0, tokens=0, items=0)


@every_task
def test_a_shuffled_session_has_the_next_ones_context(task: Task) -> None:
    full, shuffled = sessions(task, "full", limit=5), sessions(task, "shuffled", limit=4)
    for place, floor in enumerate(shuffled):
        following = full[place + 1]
        counts = {name: getattr(following, name) for name in ("context", "characters", "tokens", "items")}
        assert floor == replace(full[place], **counts)
        assert all(str(turn.answer) not in floor.context for turn in floor.turns if len(str(turn.answer)) > 5)


@every_task
@pytest.mark.parametrize("context", ["none", "shuffled"])
def test_a_floor_does_not_depend_on_the_limit(task: Task, context: str) -> None:
    assert sessions(task, context, limit=4)[:2] == sessions(task, context, limit=2)


def test_published_rows_rotate(tmp_path: Path) -> None:
    path = data(tmp_path / "rows.jsonl", "one", "two", "three")
    found = sessions(EnQA(data=path), "shuffled")
    assert [session.context for session in found] == ["two", "three", "one"]
    assert [session.id for session in found] == ["row-00001", "row-00002", "row-00003"]
    assert [session.turns[0].answer for session in found] == ["one", "two", "three"]
    assert [session.documents for session in found] == [s.documents for s in sessions(EnQA(data=path), "full")]
    assert [(session.tokens, session.characters, session.items) for session in found] == [
        (3, 3, None),
        (5, 5, None),
        (3, 3, None),
    ]


def test_the_last_row_asked_has_the_context_of_the_row_after_the_limit(tmp_path: Path) -> None:
    path = data(tmp_path / "rows.jsonl", "one", "two", "three", "four")
    assert [session.context for session in sessions(EnQA(data=path), "shuffled", limit=2)] == ["two", "three"]
    assert [session.context for session in sessions(EnQA(data=path), "none", limit=2)] == ["", ""]


def test_a_row_with_the_same_context_is_passed_over(tmp_path: Path) -> None:
    path = data(tmp_path / "rows.jsonl", "a book", "a book", "another", "a book", "third")
    found = [session.context for session in sessions(EnQA(data=path), "shuffled")]
    assert found == ["another", "another", "a book", "third", "a book"]
    path = data(tmp_path / "rows.jsonl", "a book", "another", "a book")
    assert [session.context for session in sessions(EnQA(data=path), "shuffled")] == ["another", "a book", "another"]


@pytest.mark.parametrize("contexts", [["one"], ["one", "one"]])
def test_where_every_context_is_the_same_there_is_no_shuffled_one(tmp_path: Path, contexts: list[str]) -> None:
    path = data(tmp_path / "rows.jsonl", *contexts)
    with pytest.raises(ScbenchError, match=r"^task\.context=shuffled: .* near session row-0000\d shares a document"):
        sessions(EnQA(data=path), "shuffled")


def session(number: int, *documents: str) -> Session:
    return Session(f"s{number}", "t", "generated", f"context {number}", (Turn("q", "a"),), documents, 9, 3)


@given(st.lists(st.sets(st.sampled_from("abcdef"), min_size=1, max_size=2), min_size=1, max_size=20))
def test_shuffled_sessions_keep_their_order_and_never_share_a_document(documents: list[set[str]]) -> None:
    full = [session(number, *sorted(names)) for number, names in enumerate(documents)]
    holders = {each.context: set(each.documents) for each in full}
    found = []
    try:
        found += floored(full, "shuffled")
    except ScbenchError:
        last = full[len(found)]
        later = full[len(found) + 1 :]
        assert all(holders[each.context] & set(last.documents) for each in [full[0], *later])
        return
    assert [each.id for each in found] == [each.id for each in full]
    assert all(holders[each.context].isdisjoint(each.documents) for each in found)


def test_endless_sessions_are_read_as_needed_and_few_are_held() -> None:
    seen = 0

    def endless(same: int) -> Iterator[Session]:
        nonlocal seen
        for seen in range(10**9):
            yield session(seen, "same" if seen < same else str(seen))

    shuffled = floored(endless(same=LOOK_AHEAD), "shuffled")
    assert next(shuffled).context == f"context {LOOK_AHEAD}"
    assert seen == LOOK_AHEAD
    with pytest.raises(ScbenchError, match=r"near session s0 shares a document with it; use task\.context=none"):
        next(floored(endless(same=10**9), "shuffled"))
    assert seen == LOOK_AHEAD


@pytest.mark.parametrize("context", ["none", "shuffled"])
def test_floors_are_written_and_read_back(tmp_path: Path, context: str) -> None:
    made = sessions(EnMultiChoice(), context, limit=2)
    write(tmp_path / "s.jsonl", made)
    assert list(read(tmp_path / "s.jsonl")) == made
