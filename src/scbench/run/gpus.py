"""The GPUs of this machine, and those that a job has for itself.

Snakemake counts GPUs and names none. So a job takes as many as were counted for it by locking a file per GPU, and sees
no others: the kernel frees the locks when the process ends, however it ends. Inside a SLURM allocation the files are
the allocation's own, since its numbers may be another's on the same machine.
"""

from __future__ import annotations

import fcntl
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from scbench.errors import ScbenchError

VISIBLE = "CUDA_VISIBLE_DEVICES"
DEVICES = Path("/dev")
POLL_SECONDS = 1.0
REMIND_SECONDS = 30.0


def visible(environment: Mapping[str, str] = os.environ, devices: Path = DEVICES) -> tuple[str, ...]:
    """The names by which CUDA is told of this machine's GPUs: what CUDA_VISIBLE_DEVICES lists, else their numbers.

    As in CUDA, the list ends at the first entry that cannot be one. Nothing of CUDA is started.
    """
    listed = environment.get(VISIBLE)
    if listed is None:
        return tuple(map(str, range(len(list(devices.glob("nvidia[0-9]*"))))))
    names: list[str] = []
    for name in map(str.strip, listed.split(",")):
        if not (name.isdecimal() or name.startswith(("GPU-", "MIG-"))):
            break
        names.append(name)
    return tuple(names)


def share(cores: int, count: int, gpus: int) -> int:
    """The CPU cores of a job with `count` of a machine's `gpus`: as many jobs as have GPUs find room side by side."""
    return max(1, cores * count // gpus) if 0 < count <= gpus else cores


@contextmanager
def own(count: int, on_wait: Callable[[str], None], folder: Path | None = None) -> Iterator[tuple[str, ...]]:
    """Let this process alone have `count` of the visible GPUs, and see no others, as long as the block lasts.

    Waits until as many are free; all of them are taken at once, so two jobs never wait for each other. Where there are
    fewer than that, nothing is taken, and whoever needs them says so. Must begin before CUDA does, which looks at its
    environment once. Locks lie in `folder`, by default in the user's own below the machine's for temporary files.
    """
    names = visible()
    if not 0 < count <= len(names):
        yield ()
        return
    with ExitStack() as held:
        taken = _wait(held, count, names, folder or _folder(), on_wait)
        before = os.environ.get(VISIBLE)
        os.environ[VISIBLE] = ",".join(taken)
        try:
            yield taken
        finally:
            if before is None:
                del os.environ[VISIBLE]
            else:
                os.environ[VISIBLE] = before


def _wait(
    held: ExitStack, count: int, names: tuple[str, ...], folder: Path, on_wait: Callable[[str], None]
) -> tuple[str, ...]:
    reminded = None
    while True:
        with ExitStack() as trying:
            taken = _take(trying, count, names, folder)
            if len(taken) == count:
                held.enter_context(trying.pop_all())
                return taken
        now = time.monotonic()
        if reminded is None or now - reminded >= REMIND_SECONDS:
            on_wait(f"waiting for {count} of the GPUs {', '.join(names)}, {len(taken)} of which are free")
            reminded = now
        time.sleep(POLL_SECONDS * (0.5 + random.random()))  # others that wait look at other moments


def _take(trying: ExitStack, count: int, names: tuple[str, ...], folder: Path) -> tuple[str, ...]:
    """Lock the first `count` that are free, or as many as there are."""
    taken: list[str] = []
    for name in names:
        if len(taken) < count and _lock(trying, folder / f"{name.replace('/', '_')}.lock"):
            taken.append(name)
    return tuple(taken)


def _lock(trying: ExitStack, path: Path) -> bool:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = trying.enter_context(path.open("a"))
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise ScbenchError(
            f"cannot lock {path}: {error.strerror}; let TMPDIR be a folder of the machine's own that you may write to"
        ) from error
    return True


def _folder() -> Path:
    allocation = os.environ.get("SLURM_JOB_ID", "machine")
    return Path(tempfile.gettempdir()) / f"scbench-gpus-{os.getuid()}" / allocation
