"""The record files, which are the sample cache: `<root>/cells/<fingerprint>/<shard>.jsonl`.

A file holds whole sessions, one line per turn. A session is appended in one write and synced, so a kill at
any instant leaves finished sessions and at most one unfinished tail, which readers pass over and the next
writer cuts off.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from msgspec import MsgspecError
from msgspec.json import Decoder

from scbench.errors import ScbenchError
from scbench.record import Outcome, Record
from scbench.results.files import parse_json, sync_folder, write_bytes_atomic
from scbench.results.lock import writer_lock

FAILED = frozenset({Outcome.OOM, Outcome.TIMEOUT, Outcome.ERROR})

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CellStore:
    """One shard file of one cell."""

    root: Path
    fingerprint: str
    shard: str = "0"

    @property
    def path(self) -> Path:
        """The record file."""
        return self.root / "cells" / self.fingerprint / f"{self.shard}.jsonl"

    @property
    def lock_path(self) -> Path:
        """The lock file beside it."""
        return self.path.with_suffix(".lock")

    def read(self) -> list[Record]:
        """The records of finished sessions, in the order written; an unfinished tail is passed over.

        Raises `ScbenchError` naming file and line when the file is damaged before its tail.
        """
        return [record for block in self._blocks() for record in block.records]

    def finished(self) -> frozenset[str]:
        """The ids of the sessions that have all their lines."""
        return frozenset(block.session for block in self._blocks())

    def drop_failed(self, sessions: Collection[str]) -> None:
        """Drop those of these sessions that failed; waits for the file's writer.

        Raises `ScbenchError` when the file is damaged before its tail.
        """
        with writer_lock(self.lock_path, self.path, None, _log.warning):
            self._drop_failed(sessions)

    @contextmanager
    def writer(
        self,
        wait: float | None = None,
        on_wait: Callable[[str], None] = _log.warning,
        retry_failed: bool = False,
    ) -> Iterator[SessionWriter]:
        """Become the file's one writer: takes the lock, cuts an unfinished tail off, yields the writer.

        `wait` and `on_wait` are those of `writer_lock` (`wait=0` never waits). `retry_failed` first drops
        the sessions that have a turn with outcome oom, timeout or error. Raises `ScbenchError` when another
        process keeps the lock, when the file is damaged before its tail, or when the disk refuses.
        """
        with writer_lock(self.lock_path, self.path, wait, on_wait):
            if retry_failed:
                self._drop_failed()
            blocks = self._blocks()
            descriptor = _open(self.path, length=blocks[-1].stop if blocks else 0)
            try:
                yield SessionWriter(self, descriptor, (block.session for block in blocks))
            finally:
                os.close(descriptor)

    def _blocks(self) -> list[Block]:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return []
        return _parse(content, self.path, self.fingerprint)

    def _drop_failed(self, sessions: Collection[str] | None = None) -> None:
        blocks = self._blocks()
        kept = [block for block in blocks if not (block.failed and (sessions is None or block.session in sessions))]
        if len(kept) < len(blocks):
            content = self.path.read_bytes()
            write_bytes_atomic(self.path, b"".join(content[block.start : block.stop] for block in kept))


class SessionWriter:
    """Appends whole sessions to a record file; made by `CellStore.writer`, valid inside its block only."""

    def __init__(self, store: CellStore, descriptor: int, sessions: Iterable[str]) -> None:
        self._store = store
        self._descriptor = descriptor
        self._sessions = set(sessions)

    def append(self, records: Sequence[Record]) -> None:
        """Append the records of one session, durably, or not at all.

        `records` are the session's turns 0, 1, … in order. Raises `ValueError` for anything else, for
        records of another cell and for a session that the file already has; `ScbenchError` when the disk
        refuses: the file is then what it was before.
        """
        session = _whole_session(records, self._store.fingerprint)
        if session in self._sessions:
            raise ValueError(f"session {session!r} is already in {self._store.path}")
        content = b"".join(map(encode, records))
        before = os.fstat(self._descriptor).st_size
        try:
            # One write, not a loop: a disk that takes only a part will not take the rest either.
            written = os.write(self._descriptor, content)
            os.fsync(self._descriptor)
        except OSError as error:
            self._undo(before, session, error.strerror or str(error), error)
        if written != len(content):
            self._undo(before, session, f"the disk took {written} of {len(content)} bytes", None)
        self._sessions.add(session)

    def _undo(self, length: int, session: str, reason: str, cause: OSError | None) -> None:
        # The next writer cuts off what cannot be cut off now, so the first error is the one to tell.
        with suppress(OSError):
            os.ftruncate(self._descriptor, length)
        raise ScbenchError(
            f"cannot append session {session!r} to {self._store.path}: {reason}; free space and run this again"
        ) from cause


def stores(root: Path, fingerprint: str) -> list[CellStore]:
    """The record files of a cell that are there, whatever wrote them."""
    return [CellStore(root, fingerprint, path.stem) for path in sorted((root / "cells" / fingerprint).glob("*.jsonl"))]


def finished(root: Path, fingerprint: str) -> frozenset[str]:
    """The ids of the sessions of a cell that have all their lines, in any of its files."""
    return frozenset(session for store in stores(root, fingerprint) for session in store.finished())


def read_cell(root: Path, fingerprint: str) -> list[Record]:
    """The records of all shards of a cell, sorted by session, then turn.

    Raises `ScbenchError` when two shards hold the same session, or when a shard is damaged.
    """
    records: list[Record] = []
    owner: dict[str, Path] = {}
    for store in stores(root, fingerprint):
        shard = store.read()
        for session in dict.fromkeys(record.session for record in shard):
            if session in owner:
                raise ScbenchError(
                    f"session {session!r} is in {owner[session]} and in {store.path}; delete one of them"
                )
            owner[session] = store.path
        records += shard
    return sorted(records, key=lambda record: (record.session, record.turn))


@dataclass(frozen=True)
class Block:
    """A finished session in a file: its records and the bytes [start, stop) that hold them."""

    session: str
    records: tuple[Record, ...]
    start: int
    stop: int

    @property
    def failed(self) -> bool:
        """Whether a turn ran out of memory or time, or ended in an error."""
        return any(record.outcome in FAILED for record in self.records)


def _parse(content: bytes, path: Path, fingerprint: str) -> list[Block]:
    """The finished sessions of a file's content; what follows them is one unfinished session at most.

    A last line that has no newline, or that cannot be read, is where a write was cut. Anything else that
    does not fit is damage, and an error: to pass over it could lose a finished session.
    """
    lines, decoder = content.split(b"\n")[:-1], Decoder(Record)
    blocks: list[Block] = []
    sessions: set[str] = set()
    pending: list[Record] = []
    start = stop = 0
    for number, line in enumerate(lines, start=1):
        record = _decode(line, decoder)
        if record is None and number == len(lines) and content.endswith(b"\n"):
            break
        if record is None or record.session in sessions or not _continues(pending, record, fingerprint):
            raise ScbenchError(
                f"{path}, line {number}: not the next turn of a session of cell {fingerprint}; "
                "delete that session's lines and run this again"
            )
        pending.append(record)
        stop += len(line) + 1
        if len(pending) == record.turns:
            blocks.append(Block(record.session, tuple(pending), start, stop))
            sessions.add(record.session)
            pending = []
            start = stop
    return blocks


def _continues(pending: Sequence[Record], record: Record, fingerprint: str) -> bool:
    """Whether `record` is the next turn of the session of `pending`, or the first turn of one."""
    first = pending[0] if pending else record
    return (
        record.cell == fingerprint
        and (record.session, record.turns) == (first.session, first.turns)
        and record.turn == len(pending) < record.turns
    )


def _decode(line: bytes, decoder: Decoder[Record]) -> Record | None:
    """What a line says; most are read straight into a record, three times as fast as through plain data."""
    try:
        return decoder.decode(line)
    except (MsgspecError, UnicodeDecodeError):  # a lone surrogate, say; or it is no record
        try:
            return Record.from_dict(parse_json(line))
        except (ValueError, TypeError, KeyError, AttributeError):
            return None


def encode(record: Record) -> bytes:
    """A record's line in its file."""
    # A lone surrogate has no UTF-8; `backslashreplace` writes it as the JSON escape that it is.
    text = json.dumps(record.to_dict(), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", errors="backslashreplace") + b"\n"


def _whole_session(records: Sequence[Record], fingerprint: str) -> str:
    """The session's id; `ValueError` unless `records` are all turns of one session of this cell, in order."""
    sessions = {record.session for record in records}
    if len(sessions) != 1:
        raise ValueError(f"one session at a time, not {sorted(sessions)}")
    (session,) = sessions
    if {record.cell for record in records} != {fingerprint}:
        raise ValueError(f"session {session!r} has records of another cell than {fingerprint}")
    if [record.turn for record in records] != list(range(len(records))):
        raise ValueError(f"session {session!r}: turns are not 0, 1, … in order")
    if {record.turns for record in records} != {len(records)}:
        raise ValueError(f"session {session!r} is not whole: {len(records)} of {records[0].turns} turns")
    return session


def _open(path: Path, length: int) -> int:
    """Open for appending, cut to `length`; the new name, if it is one, is made durable too."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.ftruncate(descriptor, length)
            sync_folder(path.parent)
        except OSError:
            os.close(descriptor)
            raise
    except OSError as error:
        raise ScbenchError(f"cannot open {path} for appending: {error.strerror}") from error
    return descriptor
