"""One writer at a time: a lock that names its holder, and that the kernel frees when the holder dies."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from scbench.errors import ScbenchError

POLL_SECONDS = 0.2
REMIND_SECONDS = 30.0


@contextmanager
def writer_lock(path: Path, writes: Path, wait: float | None, on_wait: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock file `path` for as long as the block lasts; `writes` is the file it protects.

    The lock is `flock`'s, so it goes when its holder dies, however it dies. The file's text, "host pid
    started", is for people, and only the holder writes it. A waiter calls `on_wait` with a line that names
    the holder, at once and then about every 30 s; `wait` is the longest time to wait in seconds (None: as
    long as it takes). Raises `ScbenchError` naming the holder when that time is over. The file is never
    deleted: a waiter may have it open.
    """
    descriptor = _opened(path)
    try:
        _acquire(descriptor, path, writes, wait, on_wait)
        _name_holder(descriptor, path)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def sharding_lock(path: Path, of: int, on_wait: Callable[[str], None]) -> Iterator[None]:
    """Share the lock file `path` with all that cut the same sessions into `of` shards.

    Others wait until the last of these is gone, so that no session is computed under two cuts at once. Raises
    `ScbenchError` where the file system has no such locks.
    """
    descriptor = _opened(path)
    try:
        reminded = None
        while not _shares(descriptor, path, of):
            now = time.monotonic()
            if reminded is None or now - reminded >= REMIND_SECONDS:
                on_wait(f"waiting for jobs that cut the sessions of {path.parent} in another way than into {of}")
                reminded = now
            time.sleep(POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _shares(descriptor: int, path: Path, of: int) -> bool:
    """Hold the lock together with those of the same cut; if nobody holds it, this cut is written down first."""
    cut = b"%d" % of
    if _try(descriptor, path, fcntl.LOCK_SH):
        if os.pread(descriptor, 32, 0) == cut:
            return True
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    if not _try(descriptor, path, fcntl.LOCK_EX):
        return False
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, cut, 0)
    return _try(descriptor, path, fcntl.LOCK_SH) and os.pread(descriptor, 32, 0) == cut  # between the two it was free


def _opened(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise ScbenchError(f"cannot open the lock {path}: {error.strerror}") from error


def _acquire(descriptor: int, path: Path, writes: Path, wait: float | None, on_wait: Callable[[str], None]) -> None:
    started = time.monotonic()
    reminded = None
    while not _try(descriptor, path):
        now = time.monotonic()
        if wait is not None and now - started >= wait:
            raise ScbenchError(f"{_holder(path)} writes {writes}; wait for it, or end it and run this again")
        if reminded is None or now - reminded >= REMIND_SECONDS:
            on_wait(f"waiting for {_holder(path)}, which writes {writes}")
            reminded = now
        time.sleep(POLL_SECONDS)


def _try(descriptor: int, path: Path, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise ScbenchError(f"cannot lock {path}: {error.strerror}; this file system has no flock") from error
    return True


def _name_holder(descriptor: int, path: Path) -> None:
    started = datetime.now(UTC).isoformat(timespec="seconds")
    text = f"{socket.gethostname()} {os.getpid()} {started}\n".encode()
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text, 0)
    except OSError as error:
        raise ScbenchError(f"cannot write {path}: {error.strerror}; free space and run this again") from error


def _holder(path: Path) -> str:
    """Who holds the lock, in words; the text is not there yet when the holder took the lock just now."""
    match path.read_text(encoding="utf-8", errors="replace").split():
        case [host, pid, started]:
            return f"pid {pid} on host {host} (since {started})"
        case _:
            return "another process"
