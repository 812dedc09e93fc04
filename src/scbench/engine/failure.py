"""Failures as data: what kind an exception is, in one line, without holding on to what it touched."""

from __future__ import annotations

import traceback
from dataclasses import dataclass

import torch

from scbench.record import Outcome

_NO_MEMORY = ("can't allocate memory", "out of memory", "not enough memory")


@dataclass(frozen=True)
class Failure:
    """Outcome, one line for the record, and the traceback as text for the log.

    The exception itself is not kept: its frames would keep the failed method's tensors alive.
    """

    outcome: Outcome
    detail: str
    trace: str

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """Tell out-of-memory and time-outs from everything else."""
        text = " ".join(str(error).split()) or "no message"
        trace = "".join(traceback.format_exception(error))
        return cls(_outcome(error, text), f"{type(error).__name__}: {text}"[:500], trace)


def _outcome(error: Exception, text: str) -> Outcome:
    if isinstance(error, TimeoutError):
        return Outcome.TIMEOUT
    no_memory = isinstance(error, RuntimeError) and any(words in text.lower() for words in _NO_MEMORY)
    if no_memory or isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return Outcome.OOM
    return Outcome.ERROR
