"""One cut of a cell's sessions at a time; and what other cuts have left."""

import threading
import time

import pytest

from record_builders import CELL, session
from scbench.record import Outcome
from scbench.results.lock import sharding_lock
from scbench.results.store import CellStore, finished


def quiet(line: str) -> None:
    """Nobody listens."""


def test_jobs_of_one_cut_hold_it_together(tmp_path):
    path = tmp_path / "cell/shards.lock"
    with sharding_lock(path, 4, quiet), sharding_lock(path, 4, quiet):
        assert path.read_text() == "4"


def test_another_cut_waits_for_the_last_of_them(tmp_path):
    path, events = tmp_path / "shards.lock", []

    def other() -> None:
        with sharding_lock(path, 3, lambda line: events.append(line.rpartition(" ")[2])):
            events.append("three")

    with sharding_lock(path, 4, quiet):
        with sharding_lock(path, 4, quiet):
            waiting = threading.Thread(target=other)
            waiting.start()
            while not events:
                time.sleep(0.01)
        time.sleep(0.5)
        assert events == ["3"], "one line says what it waits for, though one of two is gone"
        events.append("four is over")
    waiting.join(timeout=30)
    assert events == ["3", "four is over", "three"]
    assert path.read_text() == "3"


def test_many_of_two_cuts_never_hold_it_at_once(tmp_path):
    path, held, seen = tmp_path / "shards.lock", [], []

    def job(of: int) -> None:
        with sharding_lock(path, of, quiet):
            held.append(of)
            seen.append(set(held))
            time.sleep(0.02)
            held.remove(of)

    jobs = [threading.Thread(target=job, args=(of,)) for of in (2, 3) * 6]
    for one in jobs:
        one.start()
    for one in jobs:
        one.join(timeout=60)
    assert len(seen) == 12
    assert all(len(cuts) == 1 for cuts in seen)


def write(store: CellStore, *sessions) -> None:
    with store.writer() as writer:
        for records in sessions:
            writer.append(records)


@pytest.fixture
def cut(tmp_path) -> list[CellStore]:
    """Four sessions in two files, of which each has one that failed."""
    stores = [CellStore(tmp_path, CELL, name) for name in ("0", "1-of-2")]
    write(stores[0], session("a", 1), session("b", 1, outcome=Outcome.OOM))
    write(stores[1], session("c", 1, outcome=Outcome.TIMEOUT), session("d", 2))
    return stores


def test_sessions_are_finished_in_whatever_file(tmp_path, cut):
    assert finished(tmp_path, CELL) == {"a", "b", "c", "d"}


def test_failed_sessions_of_ones_own_are_dropped_in_another_file(tmp_path, cut):
    cut[1].drop_failed(["b", "d"])
    assert finished(tmp_path, CELL) == {"a", "b", "c", "d"}
    cut[1].drop_failed(["c", "d"])
    assert finished(tmp_path, CELL) == {"a", "b", "d"}
