"""A method for the tests on a cluster: StreamingLLM, but for what the file `trouble` says shall happen.

The file `acted` gets a line whenever the method acts for a session, in whatever process: the SLURM job and the GPUs
that it sees. `trouble` says `FROM TO ACTION`: what happens from its FROM-th to its TO-th line.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from scbench.methods.base import Base, Cache, Layer, Queries
from scbench.methods.compression.streaming_llm import StreamingLLM
from scbench.segments.base import Segment

PIECE = 32 * 2**20  # bytes


@dataclass(frozen=True)
class Troubled(StreamingLLM):
    """StreamingLLM with trouble."""

    uses_budget: ClassVar[bool] = False

    def compress(self, cache: Cache, queries: Queries | None, layer: Layer, base: Base) -> Segment:
        """Once per session, at the first layer: note it, then do what the file says."""
        if layer.index == 0:
            first, last, action = Path("trouble").read_text().split()
            if int(first) <= _noted() <= int(last):
                _act(action)
        return super().compress(cache, queries, layer, base)


def _noted() -> int:
    """Add a line; how many there are."""
    with Path("acted").open("a") as notes:
        notes.write(f"{os.environ.get('SLURM_JOB_ID')} {os.environ.get('CUDA_VISIBLE_DEVICES', 'none')}\n")
    return len(Path("acted").read_text().splitlines())


def _act(action: str) -> None:
    match action:
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "wait":
            time.sleep(8)
        case "hang":
            time.sleep(3600)
        case "eat":
            taken = []
            while True:
                taken.append(bytearray(os.urandom(1) * PIECE))
