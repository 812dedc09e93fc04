from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scbench.errors import ScbenchError
from scbench.tasks.base import Task
from scbench.tasks.en_qa import EnQA
from scbench.tasks.math_find import MathFind
from scbench.tasks.retr_kv import RetrKV
from scbench.tasks.session import Session, Turn
from scbench.tasks.sessions import make_sessions, read, write, write_failure

KV = {"id": 7, "context": '{"k": "v"}', "multi_turns": [{"input": "Key: k", "answer": "v"}]}
QA = {
    "id": 7,
    "context": "A fox.",
    "multi_turns": [{"input": "Who?", "answer": "fox"}, {"input": "What?", "answer": "a"}],
}
MF = {"context": [981, 354.5], "multi_turns": [{"input": "The largest is:", "answer": 981}]}


class Letters:
    def encode(self, text: str, *, add_special_tokens: bool) -> list[str]:
        return list(text)


def jsonl(path: Path, *rows: Any) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def load(task: Task) -> list[Session]:
    return list(make_sessions(task, Letters()))


def test_a_published_row_becomes_a_session(tmp_path: Path) -> None:
    kv, qa = load(RetrKV(data=jsonl(tmp_path / "x.jsonl", KV, QA | {"extra": 1})))
    assert kv.place == f"{tmp_path / 'x.jsonl'}, row 1"
    assert replace(kv, documents=(), place=None) == Session(
        id="row-00001",
        task="retr_kv",
        origin="scbench_kv",
        context='{"k": "v"}',
        turns=(Turn("Key: k", "v"),),
        documents=(),
        characters=10,
        tokens=10,
    )
    assert qa.turns == (Turn("Who?", "fox"), Turn("What?", "a"))
    assert kv.documents != qa.documents


def test_the_numbers_of_math_find_are_rendered_as_python_does(tmp_path: Path) -> None:
    listed = MF | {"multi_turns": [{"input": "The largest is:", "answer": [981]}]}
    as_text = MF | {"context": "[981, 354.5]"}
    sessions = load(MathFind(data=jsonl(tmp_path / "x.jsonl", MF, listed, as_text)))
    assert [session.context for session in sessions] == ["[981, 354.5]"] * 3
    assert [session.items for session in sessions] == [2, 2, None]
    assert {session.turns for session in sessions} == {(Turn("The largest is:", 981),)}


def test_a_folder_holds_a_file_per_task_and_limit_cuts_it(tmp_path: Path) -> None:
    jsonl(tmp_path / "scbench_kv.jsonl", KV, KV, KV)
    jsonl(tmp_path / "scbench_qa_eng.jsonl", QA)
    assert len(load(RetrKV(data=str(tmp_path), limit=2))) == 2
    assert [session.origin for session in load(EnQA(data=str(tmp_path)))] == ["scbench_qa_eng"]


def test_rows_after_the_limit_are_not_looked_at(tmp_path: Path) -> None:
    assert len(load(RetrKV(data=jsonl(tmp_path / "x.jsonl", KV, {}), limit=1))) == 1


def turns(*raw: Any) -> dict[str, Any]:
    return KV | {"multi_turns": list(raw)}


@pytest.mark.parametrize(
    ("task", "row", "message"),
    [
        (RetrKV(), [], "row 2: expected an object, found a list"),
        (RetrKV(), {"multi_turns": []}, "row 2, field context: expected a text, found nothing"),
        (RetrKV(), KV | {"context": " \n"}, "row 2, field context: is empty"),
        (RetrKV(), KV | {"context": [1]}, "row 2, field context: expected a text, found a list"),
        (RetrKV(), {"context": "c"}, "row 2, field multi_turns: expected a list, found nothing"),
        (RetrKV(), turns(), "row 2, field multi_turns: has no turns"),
        (RetrKV(), turns("x"), r"row 2, field multi_turns\[0\]: expected an object, found a text"),
        (RetrKV(), turns({"answer": "v"}), r"row 2, field multi_turns\[0\]\.input: expected a text, found nothing"),
        (
            EnQA(),
            turns(*QA["multi_turns"], {"input": "q", "answer": 5}),
            r"row 2, field multi_turns\[2\]\.answer: expected a text, found a number",
        ),
        (EnQA(), turns({"input": "q", "answer": ""}), r"row 2, field multi_turns\[0\]\.answer: is empty"),
        (MathFind(), MF | {"context": []}, "row 2, field context: is empty"),
        (MathFind(), MF | {"context": [1, "2"]}, r"row 2, field context\[1\]: expected a number, found a text"),
        (
            MathFind(),
            MF | {"multi_turns": [{"input": "Largest?", "answer": 1}]},
            r"row 2, field multi_turns\[0\]\.input: does not say what is asked for",
        ),
        (
            MathFind(),
            MF | {"multi_turns": [{"input": "The largest is", "answer": [1, 2]}]},
            r"row 2, field multi_turns\[0\]\.answer: expected a number, found a list",
        ),
        (
            MathFind(),
            MF | {"multi_turns": [{"input": "The largest is", "answer": True}]},
            r"row 2, field multi_turns\[0\]\.answer: expected a number, found true or false",
        ),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, task: Task, row: Any, message: str) -> None:
    good = MF if task.name == "math_find" else KV
    data = jsonl(tmp_path / "rows.jsonl", good, row)
    with pytest.raises(ScbenchError, match=rf"rows\.jsonl, {message}"):
        load(replace(task, data=data))


@pytest.mark.parametrize(
    ("line", "message"),
    [(b'{"context": "\xff"}', "byte 14 is not UTF-8"), (b'{"context": "x"', "not JSON .* at character 16")],
)
def test_a_broken_line_is_named(tmp_path: Path, line: bytes, message: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(json.dumps(KV).encode() + b"\n\n" + line + b"\n")
    with pytest.raises(ScbenchError, match=rf"rows\.jsonl, row 3: {message}"):
        load(RetrKV(data=str(path)))


def test_data_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScbenchError, match=r"holds none of scbench_kv\.jsonl, scbench_kv\.parquet,"):
        load(RetrKV(data=str(tmp_path)))
    with pytest.raises(ScbenchError, match=r"x\.jsonl: cannot be read \(No such file"):
        load(RetrKV(data=str(tmp_path / "x.jsonl")))


def test_sessions_are_written_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "sessions" / "0123.jsonl"
    turns = (Turn("q", ("a", "b"), options=("x",), subtask="s"), Turn("q", 5), Turn("q", 0.5), Turn("谁？", "\ud800"))
    sessions = [Session("a", "t", "generated", "c\u2028", turns, ("d", "e"), 2, 3, items=4)]
    sessions += make_sessions(EnQA(limit=2), Letters())
    write(path, sessions)
    assert list(read(path)) == sessions
    assert [file.name for file in path.parent.iterdir()] == ["0123.jsonl"]


def test_nothing_half_written_stays(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    whole = list(make_sessions(EnQA(limit=1), Letters()))

    def failing() -> Iterator[Session]:
        yield from whole
        raise ScbenchError("row 2 is bad")

    with pytest.raises(ScbenchError, match="row 2 is bad"):
        write(path, failing())
    assert list(tmp_path.iterdir()) == []
    write(path, whole)
    with pytest.raises(ScbenchError):
        write(path, failing())
    assert list(read(path)) == whole


def test_a_stored_failure_is_raised(tmp_path: Path) -> None:
    write_failure(tmp_path / "s.jsonl", "rows.jsonl, row 3, field context: is empty")
    with pytest.raises(ScbenchError, match=r"^rows\.jsonl, row 3, field context: is empty$"):
        list(read(tmp_path / "s.jsonl"))


@pytest.mark.parametrize("line", ["{", "[]", "{}", '{"turns": [], "documents": [], "x": 1}', '{"turns": [{}]}'])
def test_a_damaged_sessions_file_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(ScbenchError, match=r"s\.jsonl, line 1: not a session; delete the file"):
        list(read(path))


def test_a_missing_sessions_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScbenchError, match=r"s\.jsonl: cannot be read .*scbench sessions"):
        list(read(tmp_path / "s.jsonl"))


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ScbenchError, match=r"s\.jsonl: cannot be written \(No space left on device\)"):
        write(tmp_path / "s.jsonl", make_sessions(EnQA(limit=1), Letters()))
    assert list(tmp_path.iterdir()) == []
