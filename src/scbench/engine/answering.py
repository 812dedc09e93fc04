"""Answering rows as one batch, with the times and the memory that it took."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from scbench.engine.answer import Answer, Deadline, Decoder
from scbench.engine.config import EngineConfig
from scbench.engine.device import synchronise
from scbench.engine.memory import PeakMemory
from scbench.engine.view import Row
from scbench.record import StageTime

Phase = Callable[[str, int, int], None]  # (what, tokens done, tokens in all)


@dataclass(frozen=True)
class Setting:
    """What all work on a session shares: the decoder, the stop tokens, the options, and who hears of progress."""

    decoder: Decoder
    stop: frozenset[int]
    config: EngineConfig
    phase: Phase

    def report(self, what: str) -> Callable[[int, int], None]:
        """Progress of one stage."""
        return lambda done, total: self.phase(what, done, total)

    def deadline(self, cells: int = 1) -> Deadline:
        """The time that so many cells have from now on."""
        seconds = self.config.timeout
        return Deadline(None if seconds is None else seconds * cells)


@dataclass(frozen=True)
class Answered:
    """Rows and their answers, what reading the questions and decoding took, and the peak of memory.

    They were one batch, or batches of the decoder's width, whose times are added up, of all rows.
    """

    rows: Sequence[Row]
    answers: Sequence[Answer]
    question: StageTime
    decode: StageTime
    peak: int | None
    kernels: frozenset[str]

    def each(self) -> list[tuple[Row, Answer]]:
        """Row by row."""
        return list(zip(self.rows, self.answers, strict=True))

    def split(self, count: int) -> tuple[Answered, Answered]:
        """The first `count` rows, and the others; times are those of the whole batch."""
        first = replace(self, rows=self.rows[:count], answers=self.answers[:count])
        return first, replace(self, rows=self.rows[count:], answers=self.answers[count:])


def answer_rows(setting: Setting, rows: Sequence[Row], deadline: Deadline, before: float = 0.0) -> Answered:
    """Read the questions of the rows and decode their answers; `before` seconds were spent on the questions already."""
    devices = setting.decoder.adapter.shape.devices
    setting.decoder.kernels.taken()  # by others
    memory, answers = PeakMemory(*devices), list[Answer]()
    reading, decoding = before, 0.0
    width = min(len(rows), setting.decoder.width or len(rows))
    for at in range(0, len(rows), width):
        began = time.perf_counter()
        opened = setting.decoder.open(rows[at : at + width])
        synchronise(*devices)
        read = time.perf_counter()
        answers += setting.decoder.decode(opened, setting.stop, deadline, setting.report("decode"))
        synchronise(*devices)
        reading += read - began
        decoding += time.perf_counter() - read
    question, decode = StageTime(reading, "batch", len(rows)), StageTime(decoding, "batch", len(rows))
    return Answered(tuple(rows), answers, question, decode, memory.bytes(), setting.decoder.kernels.taken())
