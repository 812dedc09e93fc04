"""The tries of a job: so that what SLURM ends again and again becomes an outcome, and no missing row.

A job writes down that it has begun, and forgets it when it ends by itself. So a note that the next try finds is of a
process that was killed, and SLURM says why. What the user or a broken node did is not held against the job.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from scbench.engine.failure import Failure
from scbench.record import Outcome
from scbench.results.files import write_json_atomic
from scbench.run import slurm

OUTCOMES = {
    "TIMEOUT": Outcome.TIMEOUT,
    "DEADLINE": Outcome.TIMEOUT,
    slurm.NO_MEMORY: Outcome.OOM,
    "FAILED": Outcome.ERROR,
    "COMPLETED": Outcome.ERROR,
    slurm.FORGOTTEN: Outcome.ERROR,
}  # of a job that was killed; other states (CANCELLED, PREEMPTED, NODE_FAIL, …) say nothing about it


@dataclass(frozen=True)
class Try:
    """A job that began and did not end by itself; `state` is SLURM's word for its end, None until it is asked."""

    job: str
    host: str
    began: str
    state: str | None = None

    @property
    def counts(self) -> bool:
        """Whether the job itself was the reason."""
        return self.state in OUTCOMES


def failure(tries: Sequence[Try], allowed: int, last: bool = False) -> Failure | None:
    """What the sessions that are still lacking end with, once as many tries as are allowed were killed.

    With `last` no try comes after this one, so that one that was killed is enough: the others never began, since what
    they asked for could not be had.
    """
    killed = [one for one in tries if one.counts]
    if len(killed) < (1 if last else allowed):
        return None
    each = ", ".join(f"job {one.job} {one.state}" for one in killed)
    return Failure(OUTCOMES[str(killed[-1].state)], f"SLURM ended all {len(killed)} tries: {each}", "")


def begun(path: Path) -> int:
    """How many earlier tries of a job were killed, or may have been, as far as their notes say."""
    return sum(one.state is None or one.counts for one in _read(path))


@contextmanager
def noted(path: Path, state_of: Callable[[str], str] = slurm.state_of) -> Iterator[tuple[Try, ...]]:
    """Note this try in `path` for as long as the block lasts; yields the earlier ones that were killed.

    Outside SLURM nothing is noted, and no earlier try counts.
    """
    job = slurm.own_job()
    if job is None:
        yield ()
    else:
        earlier = tuple(_ended(one, job, state_of) for one in _read(path))
        _write(path, (*earlier, Try(job, socket.gethostname(), datetime.now(UTC).isoformat(timespec="seconds"))))
        try:
            yield earlier
        except BaseException:
            _write(path, earlier)
            raise
    path.unlink(missing_ok=True)


def _ended(one: Try, job: str, state_of: Callable[[str], str]) -> Try:
    """The try with its end; a job that has the same id was started again by SLURM."""
    if one.state is not None:
        return one
    return replace(one, state="REQUEUED" if one.job == job else state_of(one.job))


def _read(path: Path) -> list[Try]:
    if not path.exists():
        return []
    return [Try(**one) for one in json.loads(path.read_text(encoding="utf-8"))]


def _write(path: Path, tries: Sequence[Try]) -> None:
    write_json_atomic(path, [asdict(one) for one in tries])
