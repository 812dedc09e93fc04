"""Published data: every layout, every quirk, every mistake; and nothing half-written."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow
import pytest
import yaml
from published_rows import NOVEL, ROWS, jsonl, parquet_file
from pyarrow import parquet

from scbench.config.cell import load_class
from scbench.errors import ScbenchError
from scbench.tasks.base import Task
from scbench.tasks.en_qa import EnQA
from scbench.tasks.retr_kv import RetrKV
from scbench.tasks.rows import Hub, find_hub
from scbench.tasks.session import Session, Turn
from scbench.tasks.sessions import make_sessions, read, write

CONF = Path(__file__).parents[2] / "conf" / "task"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
WRITERS: dict[str, Callable[[Path, Any], Path]] = {"jsonl": jsonl, "parquet": parquet_file}


class Letters:
    def encode(self, text: str, *, add_special_tokens: bool) -> list[str]:
        return list(text)


class Nothing:
    def encode(self, text: str, *, add_special_tokens: bool) -> list[str]:
        return []


def task_of(name: str) -> Task:
    path = CONF / f"{name}.yaml"
    if not path.exists():
        pytest.skip(f"{name} is not there")
    task: Task = load_class(yaml.safe_load(path.read_text())["_target_"])()
    return task


def load(task: Task, data: object) -> list[Session]:
    return list(make_sessions(replace(task, data=str(data)), Letters()))


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("name", ROWS)
def test_rows_of_every_task_become_sessions(tmp_path: Path, name: str, kind: str) -> None:
    task = task_of(name)
    published, rows = ROWS[name]
    assert task.published == published
    WRITERS[kind](tmp_path / f"{published}.{kind}", rows)
    sessions = load(task, tmp_path)
    assert [session.id for session in sessions] == [f"row-{number:05d}" for number in range(1, len(rows) + 1)]
    for session, row in zip(sessions, rows, strict=True):
        assert session.context == str(row[task.context_field])
        assert [turn.question for turn in session.turns] == [raw["input"] for raw in row["multi_turns"]]
        for turn, raw in zip(session.turns, row["multi_turns"], strict=True):
            gold = tuple(raw["answer"]) if isinstance(raw["answer"], list) else raw["answer"]
            assert turn.answer == gold
            assert list(turn.options) == raw.get("options", [])
            assert turn.function == (raw.get("name") or None)
        assert (session.language, session.repo) == (row.get("lang"), row.get("repo"))


QA = ROWS["en_qa"][1]


@pytest.mark.parametrize(
    "file",
    [
        "scbench_qa_eng.jsonl",
        "scbench_qa_eng.parquet",
        "data/scbench_qa_eng.jsonl",
        "data/scbench_qa_eng.parquet",
        "scbench_qa_eng/test-00000-of-00001.parquet",
    ],
)
def test_every_layout_of_a_folder_is_found(tmp_path: Path, file: str) -> None:
    path = WRITERS[file.rpartition(".")[2]](tmp_path / file, QA)
    assert load(EnQA(), tmp_path) == load(EnQA(), path)
    assert len(load(EnQA(), path)) == 2


def test_shards_follow_each_other_and_name_themselves(tmp_path: Path) -> None:
    shards = [tmp_path / f"scbench_qa_eng/test-0000{i}-of-00002.parquet" for i in range(2)]
    for shard in shards:
        parquet_file(shard, QA)
    assert [session.id for session in load(EnQA(), tmp_path)] == [f"row-0000{i}" for i in (1, 2, 3, 4)]
    parquet_file(shards[1], [QA[0], QA[1] | {"multi_turns": []}])
    with pytest.raises(ScbenchError, match=r"test-00001-of-00002\.parquet, row 2, field multi_turns: has no turns"):
        load(EnQA(), tmp_path)


def test_a_shortened_variant_is_named_as_a_file(tmp_path: Path) -> None:
    assert len(load(EnQA(), jsonl(tmp_path / "scbench_qa_eng_tiny.jsonl", QA))) == 2


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(QA[0]).encode())
    assert load(EnQA(), path)[0].turns == (Turn("Where is the ring?", "the Mill"),)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"context": NaN}', "row 2: not JSON .NaN is no number"),
        (b"[" * 100_000, "row 2: not JSON"),
        (b'{"context": "\\ud800", "multi_turns": []}', "row 2, field context: character 1 is half a surrogate pair"),
    ],
)
def test_what_no_tokenizer_or_record_could_hold_is_refused(tmp_path: Path, line: bytes, message: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(json.dumps(QA[0]).encode() + b"\n" + line)
    with pytest.raises(ScbenchError, match=message):
        load(EnQA(), path)


def test_an_answer_that_is_not_among_the_options_is_named(tmp_path: Path) -> None:
    class Choice(EnQA):
        def parse_turn(self, raw: Any) -> Turn:
            return Turn(raw["input"], raw["answer"], options=tuple(raw["options"]))

    turn = {"input": "Where?", "answer": "the Moon", "options": ["a", "b", "c", "d"]}
    data = jsonl(tmp_path / "x.jsonl", [QA[0] | {"multi_turns": [turn]}])
    with pytest.raises(ScbenchError, match=r"row 1, field multi_turns\[0\]\.answer: is not among the options"):
        load(Choice(), data)


@pytest.mark.parametrize("name", ["code_repoqa", "mix_repoqa_kv"])
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"lang": None}, "field lang: expected a text, found nothing"),
        ({"lang": "cobol"}, "field lang: is 'cobol'; expected one of python, java"),
        ({"repo": None}, "field repo: expected a text, found nothing"),
    ],
)
def test_code_without_a_language_or_a_repository_is_named(tmp_path: Path, name: str, change: Any, reason: str) -> None:
    rows = [row | change for row in ROWS[name][1]]
    with pytest.raises(ScbenchError) as caught:
        load(task_of(name), jsonl(tmp_path / "code.jsonl", rows))
    assert f"code.jsonl, row 1, {reason}" in str(caught.value)


def test_every_language_of_published_code_is_scored() -> None:
    from scbench.scoring.functions import GRAMMARS
    from scbench.tasks.code_repoqa import LANGUAGES

    assert set(LANGUAGES) == set(GRAMMARS)


def test_an_empty_file_is_an_error(tmp_path: Path) -> None:
    for path in (jsonl(tmp_path / "x.jsonl", []), parquet_file(tmp_path / "x.parquet", [])):
        with pytest.raises(ScbenchError, match="has no rows"):
            load(EnQA(), path)


@pytest.mark.parametrize("where", ["start", "middle", "end"])
def test_a_damaged_parquet_file_is_named(tmp_path: Path, where: str) -> None:
    path = parquet_file(tmp_path / "x.parquet", [QA[0] | {"context": f"{i} {NOVEL * 50}"} for i in range(9)])
    content = bytearray(path.read_bytes())
    place = {"start": 4, "middle": len(content) // 2, "end": len(content) - 8}[where]
    path.write_bytes(content[:place] if where != "start" else content[:4] + b"\xff" * 40 + content[44:])
    with pytest.raises(ScbenchError, match=r"x\.parquet, row \d+: the Parquet file is damaged") as error:
        load(EnQA(), path)
    assert "\n" not in str(error.value)


def test_a_text_in_parquet_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    good = pyarrow.array([b"Ann", b"\xff\xfe"])
    turns = pyarrow.array([[{"input": "q", "answer": "a"}]] * 2)
    context = pyarrow.StringArray.from_buffers(2, *good.buffers()[1:])
    path = tmp_path / "x.parquet"
    parquet.write_table(pyarrow.table({"context": context, "multi_turns": turns}), path)
    with pytest.raises(ScbenchError, match=r"x\.parquet, row 2: byte 1 of a text is not UTF-8"):
        load(EnQA(), path)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_bad_row_in_the_middle_leaves_nothing_half_written(tmp_path: Path, kind: str) -> None:
    rows = [QA[1]] * 4 + [QA[1] | {"context": " "}] + [QA[1]] * 5
    data = WRITERS[kind](tmp_path / f"x.{kind}", rows)
    target = tmp_path / "sessions" / "s.jsonl"
    with pytest.raises(ScbenchError, match=rf"x\.{kind}, row 5, field context: is empty"):
        write(target, make_sessions(EnQA(data=str(data)), Letters()))
    assert list(target.parent.iterdir()) == []
    write(target, make_sessions(EnQA(data=str(data), limit=4), Letters()))
    assert len(list(read(target))) == 4


@pytest.mark.parametrize("kind", WRITERS)
def test_books_are_not_all_in_memory(tmp_path: Path, kind: str) -> None:
    """Ten books of 4 MB each, in Parquet in row groups of one: the peak is that of a few."""
    rows = [QA[0] | {"context": f"{i}" + "x" * 4_000_000} for i in range(10)]
    path = tmp_path / f"x.{kind}"
    if kind == "jsonl":
        jsonl(path, rows)
    else:
        parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=1)
    del rows
    before = pyarrow.total_allocated_bytes()
    tracemalloc.start()
    for number, session in enumerate(make_sessions(EnQA(data=str(path)), Nothing())):
        assert session.context.startswith(f"{number}x")
        assert pyarrow.total_allocated_bytes() - before < 16_000_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert number == 9
    assert peak < 24_000_000


def test_the_hub_needs_a_commit() -> None:
    assert find_hub("x.jsonl") is None
    assert find_hub(f"hub@{COMMIT}") == Hub("microsoft/SCBench", COMMIT)
    assert find_hub(f"hub:owner/name@{COMMIT}") == Hub("owner/name", COMMIT)
    for data in ("hub", "hub:owner/name", "hub@main", "hub@abc123"):
        with pytest.raises(ScbenchError, match=rf"task\.data={data}: needs the commit"):
            load(EnQA(), data)


def test_the_hub_is_streamed_from_a_pinned_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def stream(*names: str, **options: Any) -> Iterator[Any]:
        asked.append((names, options))
        yield QA[0]
        yield QA[0] | {"multi_turns": []}

    monkeypatch.setattr("datasets.load_dataset", stream)
    with pytest.raises(ScbenchError, match="scbench_qa_eng, row 2, field multi_turns: has no turns"):
        load(EnQA(), f"hub@{COMMIT}")
    assert asked == [
        (("microsoft/SCBench", "scbench_qa_eng"), {"split": "test", "revision": COMMIT, "streaming": True})
    ]
    assert len(load(EnQA(limit=1), f"hub@{COMMIT}")) == 1


def test_the_datasets_library_gives_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    path = parquet_file(tmp_path / "test.parquet", ROWS["retr_kv"][1])
    real = datasets.load_dataset
    options = {"data_files": {"test": str(path)}, "split": "test", "streaming": True}
    monkeypatch.setattr("datasets.load_dataset", lambda *_, **__: real("parquet", **options))
    found = load(RetrKV(), f"hub@{COMMIT}")
    assert [replace(one, place="") for one in found] == [replace(one, place="") for one in load(RetrKV(), path)]
    assert [str(one.place).endswith(f", row {row}") for row, one in enumerate(found, 1)] == [True] * len(found)


def test_without_a_network_the_hub_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)

    def offline(*_: Any, **__: Any) -> None:
        raise ConnectionError("Couldn't reach 'microsoft/SCBench' on the Hub\n(offline)")

    monkeypatch.setattr("datasets.load_dataset", offline)
    with pytest.raises(ScbenchError, match=r"cannot be read .*give task\.data a folder") as error:
        load(EnQA(), f"hub@{COMMIT}")
    assert "\n" not in str(error.value)
