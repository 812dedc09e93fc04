"""The store among real processes that are killed."""

import socket
import subprocess
import sys
import time

import pytest

from record_builders import CELL
from scbench.errors import ScbenchError
from scbench.results.store import CellStore

SESSIONS = 60

APPEND = f"""
import sys
from pathlib import Path
from scbench.record import Outcome, Record
from scbench.results.store import CellStore

store = CellStore(Path(sys.argv[1]), "{CELL}")
with store.writer() as writer:
    print("writing", flush=True)
    done = store.finished()
    for number in range({SESSIONS}):
        name = f"s{{number:03}}"
        if name not in done:
            text = name * 20_000
            writer.append([Record("{CELL}", name, turn, 3, Outcome.OK, prediction=text) for turn in range(3)])
    if len(sys.argv) > 2:
        sys.stdin.read()
"""


def start(root, *arguments):
    command = [sys.executable, "-c", APPEND, str(root), *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "writing\n"
    return process


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def end(process):
    process.kill()
    process.communicate()


def test_killed_while_appending_then_resumed_is_the_undisturbed_file(tmp_path):
    calm = CellStore(tmp_path / "calm", CELL)
    assert start(calm.root).wait(timeout=60) == 0

    killed = CellStore(tmp_path / "killed", CELL)
    size = calm.path.stat().st_size
    seen = frozenset()
    for share in (0.1, 0.25, 0.4, 0.55, 0.7):
        process = start(killed.root)
        wait_for(lambda share=share: killed.path.exists() and killed.path.stat().st_size > share * size)
        end(process)
        assert seen < killed.finished()  # what was finished stays, and the killed run added to it
        seen = killed.finished()
    assert len(seen) < SESSIONS
    assert start(killed.root).wait(timeout=60) == 0
    assert killed.path.read_bytes() == calm.path.read_bytes()


def test_a_live_writer_is_named_and_waited_for(tmp_path):
    store = CellStore(tmp_path, CELL)
    holder = start(tmp_path, "stay")
    try:
        wait_for(lambda: len(store.finished()) == SESSIONS)
        name = f"pid {holder.pid} on host {socket.gethostname()}"
        with pytest.raises(ScbenchError, match=name), store.writer(wait=0):
            pass
        with pytest.raises(ScbenchError, match=name), store.writer(wait=0.3, on_wait=lambda line: None):
            pass
        assert str(holder.pid) in store.lock_path.read_text()

        lines = []

        def on_wait(line):
            lines.append(line)
            end(holder)

        with store.writer(on_wait=on_wait):
            assert str(holder.pid) not in store.lock_path.read_text()
        assert lines == [line for line in lines if name in line and str(store.path) in line]
        assert len(lines) == 1
    finally:
        end(holder)


def test_a_second_writer_in_the_same_process_is_refused(tmp_path):
    store = CellStore(tmp_path, CELL)
    with store.writer(), pytest.raises(ScbenchError, match="writes"), store.writer(wait=0):
        pass
    with store.writer(wait=0):
        pass
