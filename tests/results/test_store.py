import dataclasses
import os
import resource
import signal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from record_builders import CELL, flat, record, session
from scbench.errors import ScbenchError
from scbench.record import KvBytes, Outcome, StageTime
from scbench.results import store as store_module
from scbench.results.store import CellStore, read_cell

texts = st.text(max_size=8)
shapes = st.lists(st.tuples(st.integers(1, 3), texts), min_size=1, max_size=3)


def write(store, sessions):
    with store.writer() as writer:
        for records in sessions:
            writer.append(records)


@pytest.fixture
def store(tmp_path):
    return CellStore(tmp_path, CELL)


@pytest.fixture
def no_fsync(monkeypatch):
    """Keep the loops over thousands of files from waiting for the disk."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def test_a_session_comes_back_as_it_was_written(store):
    full = dataclasses.replace(
        record("s1", 0, 1, prediction="日\u2028\ud800\n", gold=("a", "b"), subtask="kv", options=("x", "y")),
        kv_bytes=KvBytes(dense=8, nominal=4, stored=5, touched=3),
        times={"decode": StageTime(0.25, "batch", 3)},
        kept=(4, 4),
        output_ids=(1, 2),
    )
    write(store, [[full]])
    assert store.read() == [full]
    assert store.finished() == {"s1"}
    assert store.path.read_bytes().count(b"\n") == 1


def test_absent_file_is_empty(store):
    assert store.read() == []
    assert store.finished() == frozenset()
    assert read_cell(store.root, CELL) == []


@settings(max_examples=6, deadline=None)
@given(shapes=shapes)
def test_cut_at_every_byte_keeps_exactly_the_finished_sessions(tmp_path_factory, shapes):
    store = CellStore(tmp_path_factory.mktemp("cut"), CELL)
    sessions = [session(f"s{i}", turns, prediction=text) for i, (turns, text) in enumerate(shapes)]
    ends = []
    with store.writer() as writer:
        for records in sessions:
            writer.append(records)
            ends.append(store.path.stat().st_size)
    whole = store.path.read_bytes()
    for cut in range(len(whole) + 1):
        store.path.write_bytes(whole[:cut])
        finished = sum(end <= cut for end in ends)
        assert store.read() == flat(sessions[:finished])
        assert store.finished() == {f"s{i}" for i in range(finished)}


def test_resuming_after_a_cut_at_every_byte_gives_the_undisturbed_file(store, no_fsync):
    sessions = [session("first", 2), session("second", 1), session("third", 2)]
    write(store, sessions)
    whole = store.path.read_bytes()
    for cut in range(len(whole) + 1):
        store.path.write_bytes(whole[:cut])
        done = store.finished()
        write(store, [records for records in sessions if records[0].session not in done])
        assert store.path.read_bytes() == whole


@pytest.mark.parametrize(
    ("line", "replacement"),
    [
        (1, b"{torn"),  # a line that cannot be read
        (1, b""),  # an empty line
        (1, None),  # a lost line: the session has a hole
        (3, "doubled"),  # a session that is there twice
    ],
)
def test_damage_before_the_tail_names_file_and_line(store, line, replacement):
    write(store, [session("a", 2), session("b", 2)])
    lines = store.path.read_bytes().splitlines()
    match replacement:
        case None:
            del lines[line - 1]
        case "doubled":
            lines[2:2] = lines[:2]
        case _:
            lines[line - 1] = replacement
    store.path.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(ScbenchError, match=rf"0\.jsonl, line {line}: "):
        store.read()
    with pytest.raises(ScbenchError, match=rf"0\.jsonl, line {line}: "), store.writer():
        pass


def test_a_file_of_another_cell_is_damage(store):
    write(store, [session("a", 1)])
    other = CellStore(store.root, "ffffffffffffffff")
    other.path.parent.mkdir()
    other.path.write_bytes(store.path.read_bytes())
    with pytest.raises(ScbenchError, match="line 1"):
        other.read()


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        ([], "one session at a time"),
        ([record("a", 0, 2)], "1 of 2 turns"),
        ([record("a", 0, 2), record("b", 1, 2)], "one session at a time"),
        ([record("a", 1, 2), record("a", 0, 2)], "in order"),
        ([record("a", 0, 2), record("a", 1, 3)], "not whole"),
        ([record("a", 0, 1, cell="another")], "another cell"),
        (session("already there", 1), "already in"),
    ],
    ids=["none", "half", "two sessions", "order", "turns", "cell", "twice"],
)
def test_only_whole_new_sessions_are_appended(store, records, reason):
    write(store, [session("already there", 1)])
    before = store.path.read_bytes()
    with store.writer() as writer, pytest.raises(ValueError, match=reason):
        writer.append(records)
    assert store.path.read_bytes() == before


def test_shards_are_merged_in_order_and_a_session_in_two_is_refused(tmp_path):
    write(CellStore(tmp_path, CELL, "0"), [session("c", 1), session("a", 2)])
    write(CellStore(tmp_path, CELL, "1"), [session("b", 1)])
    assert [(r.session, r.turn) for r in read_cell(tmp_path, CELL)] == [("a", 0), ("a", 1), ("b", 0), ("c", 0)]
    write(CellStore(tmp_path, CELL, "2"), [session("b", 1)])
    with pytest.raises(ScbenchError, match=r"'b' is in .*1\.jsonl and in .*2\.jsonl"):
        read_cell(tmp_path, CELL)


def test_retry_drops_failed_sessions_only(store):
    sessions = [
        session("ok", 2),
        [record("oom", 0, 2), record("oom", 1, 2, outcome=Outcome.OOM)],
        session("late", 1, outcome=Outcome.TIMEOUT),
        session("cut", 1, outcome=Outcome.TRUNCATED),
        session("wrong", 1, outcome=Outcome.ERROR),
        session("idle", 1, outcome=Outcome.NOOP),
    ]
    write(store, sessions)
    with store.writer() as writer:
        assert len(store.finished()) == 6
    with store.writer(retry_failed=True) as writer:
        assert store.finished() == {"ok", "cut", "idle"}
        writer.append(session("oom", 2))
    assert store.read() == flat([session("ok", 2), sessions[3], sessions[5], session("oom", 2)])


def test_full_disk_during_a_write_restores_the_file(store, monkeypatch):
    write(store, [session("a", 2)])
    before = store.path.read_bytes()

    def half(descriptor, content):
        real(descriptor, content[: len(content) // 2])
        raise OSError(28, os.strerror(28))

    real = os.write
    with store.writer() as writer:
        monkeypatch.setattr(store_module.os, "write", half)
        with pytest.raises(ScbenchError, match=r"'b' to .*0\.jsonl: No space left on device"):
            writer.append(session("b", 2))
        assert store.path.read_bytes() == before
        monkeypatch.undo()
        writer.append(session("b", 2))
    assert store.finished() == {"a", "b"}


def test_a_real_short_write_restores_the_file(store):
    """The kernel's own limit on the size of files: the write takes a part of the session."""
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        with store.writer() as writer:
            writer.append(session("a", 2))
            size = store.path.stat().st_size
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, size + 100))
            try:
                writer.append(session("b", 2))
            except ScbenchError as error:
                told = str(store.path) in str(error) and "the disk took 100 of" in str(error)
                os._exit(0 if told and store.path.stat().st_size == size else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert store.finished() == {"a"}
