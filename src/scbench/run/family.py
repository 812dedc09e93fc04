"""One family: compute what its cells lack, session by session, and append it to their record files."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from scbench.config.cell import Cell, Choice
from scbench.engine.config import ATTENTION
from scbench.engine.diagnostics import STATES_REFUSED
from scbench.engine.failure import Failure
from scbench.engine.probe import Probe, attention_of
from scbench.errors import ScbenchError
from scbench.grid.manifest import Family, Manifest
from scbench.grid.shard import WHOLE, Shard, shards
from scbench.methods.base import Method
from scbench.models.model import load_tokenizer, settings, window
from scbench.record import Record
from scbench.results.files import write_json_atomic
from scbench.results.lock import sharding_lock
from scbench.results.store import CellStore, SessionWriter, finished, read_cell, stores
from scbench.run.engines import Answerer, opened
from scbench.run.loading import Load, load_decoder
from scbench.run.progress import Progress
from scbench.run.recording import Recorder, code
from scbench.run.tries import failure, noted
from scbench.run.work import Work, check_session
from scbench.tasks.session import Session
from scbench.tasks.sessions import read as read_sessions

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FamilySummary:
    """What a run of a family did: per cell either counts, or `{"failed": reason}` if it could not run at all."""

    family: str
    cells: Mapping[str, Mapping[str, object]]
    shard: Shard = WHOLE


def run_family(
    manifest_path: Path,
    family_id: str,
    progress: Progress,
    load: Load = load_decoder,
    shard: Shard = WHOLE,
    last: bool = False,
) -> FamilySummary:
    """Compute what the family's cells lack of a shard of the sessions. One that was finished before is not touched.

    A session that fails in one cell is a record there, and so is each one left when SLURM has ended the job as often as
    it may, or once before its `last` try; a model or data that cannot be had fails the cells in the summary. Waits for
    another process that writes the same cells. Raises ScbenchError where nothing can be written.
    """
    manifest = Manifest.read(manifest_path)
    family = manifest.family(family_id)
    path = manifest.sessions(family.source)
    try:
        sessions = _session_ids(path, shard)
        with _writers(manifest, family, shard, sessions) as writers, noted(manifest.tries(family.id, shard)) as tries:
            done = {name: finished(manifest.root, name) for name in family.cells}
            lacking = {s: names for s in sessions if (names := [name for name in family.cells if s not in done[name]])}
            ended = failure(tries, manifest.run.tries, last)
            if not lacking:  # then no model is loaded
                computed: Counter[str] = Counter()
            elif ended is not None:
                computed = _close(manifest, path, lacking, writers, ended)
            else:
                computed = _compute(manifest, family, shard, lacking, writers, progress, load)
            counts = {name: _counts(manifest, name, sessions, computed[name]) for name in family.cells}
    except _CannotRun as reason:
        return FamilySummary(family.id, {name: {"failed": str(reason)} for name in family.cells}, shard)
    return FamilySummary(family.id, counts, shard)


class _CannotRun(ScbenchError):
    """What the whole family needs cannot be had."""


def _session_ids(path: Path, shard: Shard) -> list[str]:
    """The ids of a shard's sessions; the sessions themselves are read again one at a time, as books are large."""
    try:
        return [session.id for place, session in enumerate(read_sessions(path)) if shard.takes(place)]
    except ScbenchError as error:
        raise _CannotRun(str(error)) from error


@contextmanager
def _writers(
    manifest: Manifest, family: Family, shard: Shard, sessions: Sequence[str]
) -> Iterator[dict[str, SessionWriter]]:
    """The one writer of every cell's record file; always taken in the same order, so that two runs never deadlock."""
    retry = manifest.run.retry
    with ExitStack() as stack:
        writers = {}
        for name in sorted(family.cells):
            store = CellStore(manifest.root, name, shard.file)
            stack.enter_context(sharding_lock(store.path.with_name("shards.lock"), shard.of, _log.warning))
            writers[name] = stack.enter_context(store.writer(retry_failed=retry))
            for other in stores(manifest.root, name) if retry else ():
                if other.shard not in {one.file for one in shards(shard.of)}:  # what was cut in another way
                    other.drop_failed(sessions)
            described = store.path.with_name("cell.json")
            if not described.exists():
                write_json_atomic(described, {**manifest.cells[name].to_dict(), "hashes": manifest.hashes[name]})
        yield writers


def _compute(
    manifest: Manifest,
    family: Family,
    shard: Shard,
    lacking: Mapping[str, Sequence[str]],
    writers: Mapping[str, SessionWriter],
    progress: Progress,
    load: Load,
) -> Counter[str]:
    """Run the sessions that some cell lacks, which are `lacking` with these cells; how many were computed, per cell."""
    computed: Counter[str] = Counter()
    some = manifest.cells[family.cells[0]]
    path = manifest.sessions(family.source)
    methods = [choice.build() for choice in _choices(manifest.cells[name] for name in family.cells)]
    _check(some, methods, (session for session in read_sessions(path) if session.id in lacking))
    pending = (session for session in read_sessions(path) if session.id in lacking)
    with closing(_opened(some, load, manifest.log(family.id, shard))) as engine:
        recorder = Recorder(engine.text.text, engine.provenance, manifest.run.save_ids)
        for number, session in enumerate(pending):
            progress.session(number, len(lacking), session.id)
            work = engine.prepare(session, {name: manifest.cells[name] for name in lacking[session.id]})
            for name, records in _answered(engine, work, recorder, progress):
                _append(writers[name], records, manifest.cells[name])
                computed[name] += 1
    return computed


def _close(
    manifest: Manifest,
    path: Path,
    lacking: Mapping[str, Sequence[str]],
    writers: Mapping[str, SessionWriter],
    ended: Failure,
) -> Counter[str]:
    """Record how the tries ended for the sessions that they left, without a model; how many, per cell."""
    _log.warning("%s; %d sessions are left, and recorded as %s", ended.detail, len(lacking), ended.outcome)
    closed: Counter[str] = Counter()
    recorder = Recorder(lambda tokens: "", code(), manifest.run.save_ids)
    for session in (session for session in read_sessions(path) if session.id in lacking):
        for name in lacking[session.id]:
            cell = manifest.cells[name]
            work = Work(replace(session, turns=session.turns[: cell.max_turns]), {name: cell})
            _append(writers[name], recorder.failed(work, name, ended), cell)
            closed[name] += 1
    return closed


def _choices(cells: Iterable[Cell]) -> list[Choice]:
    """The different methods of these cells."""
    found: list[Choice] = []
    for choice in (choice for cell in cells for choice in cell.methods):
        if choice not in found:
            found.append(choice)
    return found


def _append(writer: SessionWriter, records: list[Record], cell: Cell) -> None:
    try:
        writer.append(records)
    except ScbenchError as error:
        what = " · ".join((cell.model.name, cell.method_name, cell.task.name, cell.mode.name))
        raise ScbenchError(f"{what}: {error}") from error


def _check(cell: Cell, methods: Sequence[Method], sessions: Iterable[Session]) -> None:
    """Refuse what cannot be asked, or not be rewritten, before weights are loaded; `methods` are all that will act."""
    engine = cell.engine.build()
    try:
        engine.ready()
        for method in methods:
            method.ready()
        model = cell.model.build()
        text = settings(model).get_text_config()
        if engine.diagnostics == ATTENTION and Probe(text).remembers:
            raise ScbenchError(f"model.path={model.path}: {STATES_REFUSED}")
        for method in methods:
            if type(method).family_key != "dense":
                method.check_model(*attention_of(text))
        tokenizer, tokens = load_tokenizer(model), window(model)
        for session in sessions:
            check_session(session, cell, tokenizer, tokens)
    except ScbenchError as error:
        raise _CannotRun(str(error)) from error


def _opened(cell: Cell, load: Load, log: Path) -> Answerer:
    try:
        return opened(cell, load, log)
    except ScbenchError as error:
        raise _CannotRun(str(error)) from error


def _answered(
    engine: Answerer, work: Work, recorder: Recorder, progress: Progress
) -> Iterator[tuple[str, list[Record]]]:
    """Every cell's records of one session, each as soon as it is there."""
    if work.failure is not None:
        for name in work.cells:
            yield name, recorder.failed(work, name, work.failure)
        return

    for done in engine.answers(work, progress):
        if done.failure is not None:
            _log.warning("session %s, cell %s: %s", work.session.id, done.job.cell, done.failure.detail)
            _log.debug("%s", done.failure.trace)
        yield done.job.cell, recorder.answered(work, done)


def _counts(manifest: Manifest, name: str, sessions: Sequence[str], computed: int) -> dict[str, object]:
    wanted = set(sessions)
    records = [record for record in read_cell(manifest.root, name) if record.session in wanted]
    return {
        "sessions": len({record.session for record in records}),
        "computed": computed,
        "outcomes": dict(sorted(Counter(record.outcome.value for record in records).items())),
    }
