"""What SLURM says of its jobs."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

NO_MEMORY = "OUT_OF_MEMORY"
FORGOTTEN = "UNKNOWN"  # no accounting database, and so long ago that the controller has forgotten it
PATIENCE = 60  # seconds for an answer

_KILLED = re.compile(rb"oom[-_]kill|Out Of Memory")  # slurmstepd's and srun's words in a job's log


def own_job() -> str | None:
    """The id of the job that this process is part of; None outside SLURM."""
    return os.environ.get("SLURM_JOB_ID")


def state_of(job: str) -> str:
    """The state of a job in SLURM's word: `TIMEOUT`, `OUT_OF_MEMORY`, `CANCELLED`, …; `UNKNOWN` if it has forgotten it.

    A step that the kernel killed for want of memory may leave a job that only `FAILED`: then the steps' states tell,
    or the job's log.
    """
    shown = _said("scontrol", "show", "job", "--oneliner", job)
    state, log = (re.search(rf"\b{key}=(\S+)", shown) for key in ("JobState", "StdOut"))
    steps = [line.split()[0] for line in _said("sacct", "-n", "-P", "-o", "State", "-j", job).splitlines() if line]
    found = state[1] if state else steps[0] if steps else FORGOTTEN
    hidden = NO_MEMORY in steps or (log is not None and _tells_of_no_memory(Path(log[1])))
    return NO_MEMORY if hidden and found in ("FAILED", FORGOTTEN) else found


def waiting_for(comment: str, folder: Path) -> str:
    """The option of sbatch that lets a job wait until those are over that an earlier snakemake has left; empty if none.

    They would hold the locks of its records, and it an allocation in vain. They are told by the `comment` that the
    Snakemake plugin gives them, and by the `folder` that it was started in.
    """
    jobs = _left().get((str(folder), comment), ())
    return f"--dependency=afterany:{':'.join(jobs)}" if jobs else ""


@cache
def _left() -> Mapping[tuple[str, str], Sequence[str]]:
    """This user's jobs by folder and comment; asked once in the life of a process, for all of its jobs."""
    found: dict[tuple[str, str], list[str]] = {}
    for line in _said("squeue", "--me", "--noheader", "--format", "%i|%Z|%k").splitlines():
        job, *told = line.split("|", 2)
        if len(told) == 2:
            found.setdefault((told[0], told[1]), []).append(job)
    return found


def _said(*command: str) -> str:
    """What a command prints; nothing if it fails or is not there."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def _tells_of_no_memory(log: Path) -> bool:
    try:
        return _KILLED.search(log.read_bytes()) is not None
    except OSError:
        return False
