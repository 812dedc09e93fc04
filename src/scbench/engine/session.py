"""One session, many cells: a dense prefill is shared, then each cell's method acts and its branches answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch

from scbench.engine.answer import Answer, Deadline, Decoder
from scbench.engine.failure import Failure
from scbench.engine.trunk import Trunk
from scbench.engine.view import Row
from scbench.methods.base import Base, Layer, Method
from scbench.methods.budget import Budget
from scbench.modes import Branch, Layout, extend
from scbench.record import KvBytes, StageTime
from scbench.segments.base import Footprint

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """What one cell does with a session.

    With gold history (and in multi-request mode) `layout` is complete and `feedback` empty. With generated history
    the layout has the first turn only, and `feedback` holds, per later turn, its followup tokens and its limit on
    new tokens: the layout grows by each answer.
    """

    cell: str
    layout: Layout
    method: Method
    budget: Budget | None
    feedback: tuple[tuple[tuple[int, ...], int], ...] = ()


@dataclass(frozen=True)
class Turn:
    """What the engine saw of one answered turn. `prompt` are the ids that the answer follows."""

    answer: Answer
    prompt: tuple[int, ...]
    kept: tuple[int, ...]
    noop: bool
    kv_bytes: KvBytes
    times: Mapping[str, StageTime]
    kernels: tuple[str, ...]


@dataclass(frozen=True)
class Done:
    """A job's turns, or the failure that ended it."""

    job: Job
    turns: tuple[Turn, ...] = ()
    failure: Failure | None = None


Phase = Callable[[str, int, int], None]  # (what, tokens done, tokens in all)


def run_session(
    decoder: Decoder,
    jobs: Sequence[Job],
    stop: frozenset[int],
    timeout: float | None,
    phase: Phase,
    batch: str = "method",
) -> Iterator[Done]:
    """Answer every job's turns; a job that fails costs itself only. Yields each job as it is done.

    The dense trunk grows from base to base; a layout that does not continue it starts from their common
    prefix. It is prefilled once for all jobs whose base is reached, and only read by them. With `batch="family"` the
    answers of all jobs that are known to the end are decoded as one batch, at the cost of holding all their caches.
    """
    dense = Trunk.empty(decoder.adapter.shape, max(job.layout.base for job in jobs))
    seconds = 0.0
    waiting: list[_Run] = []
    for job in sorted(jobs, key=lambda job: job.layout.base):
        deadline = Deadline(timeout)
        try:
            dense, spent = _reach(decoder, dense, job.layout, deadline, phase)
            seconds += spent
            run = _start(decoder, dense, job, stop, deadline, seconds, phase)
            if batch == "family" and not job.feedback:
                run.extend()
                waiting.append(run)
                continue
            done = Done(job, tuple(run.one_by_one() if job.feedback else run.together()))
        except Exception as error:
            done = Done(job, failure=Failure.of(error))
            if not dense.consistent():  # a forward pass that broke off may have left layers unequal
                dense = Trunk.empty(dense.shape, job.layout.base)
        yield done
    yield from _answer_family(decoder, waiting, stop, timeout, phase)


def _answer_family(
    decoder: Decoder, runs: list[_Run], stop: frozenset[int], timeout: float | None, phase: Phase
) -> Iterator[Done]:
    """All jobs' answers as one batch; if that fails, each job's alone, so that the failure finds its owner."""
    if not runs:
        return
    rows = [row for run in runs for row in run.rows(run.job.layout.branches)]
    deadline = Deadline(None if timeout is None else timeout * len(runs))
    answers: list[Answer] | None = None
    began = time.perf_counter()
    try:
        answers = decoder.answer(rows, stop, deadline, lambda done, total: phase("decode", done, total))
    except Exception as error:
        _log.warning(
            "the family's batch of %d branches failed, now cell by cell: %s", len(rows), Failure.of(error).detail
        )
    del rows
    decode = StageTime(time.perf_counter() - began, "batch", sum(len(run.job.layout.branches) for run in runs))
    while runs:
        run = runs.pop(0)
        try:
            if answers is None:
                run.deadline = Deadline(timeout)
                yield Done(run.job, tuple(run.answered()))
            else:
                count = len(run.job.layout.branches)
                own, answers = answers[:count], answers[count:]
                yield Done(run.job, tuple(run.turns(own, decode)))
        except Exception as error:
            yield Done(run.job, failure=Failure.of(error))


def _reach(decoder: Decoder, dense: Trunk, layout: Layout, deadline: Deadline, phase: Phase) -> tuple[Trunk, float]:
    """The dense trunk with exactly this layout's base, and the seconds that it took."""
    began = time.perf_counter()
    base = layout.trunk[: layout.base]
    common = _common_prefix(dense.ids, base)
    needs_logits = any(branch.leaves == layout.base and not branch.suffix for branch in layout.branches)
    if common == len(base) and needs_logits and layout.base not in dense.logits:
        common -= 1
    if not dense.rollback(common):
        dense, common = Trunk.empty(dense.shape, len(base)), 0
    first_leave = min(branch.leaves for branch in layout.branches)

    def report(done: int, _: int) -> None:
        phase("prefill", dense.length, len(base))

    for start, stop in _spans(layout, common, len(base)):
        decoder.extend(dense, base[start:stop], first_leave, deadline, report)
    _synchronise(dense)
    return dense, time.perf_counter() - began


def _spans(layout: Layout, start: int, stop: int) -> list[tuple[int, int]]:
    """The stretches between `start` and `stop` that cross no point."""
    cuts = [start, *(point for point in layout.points if start < point < stop), stop]
    return [span for span in pairwise(cuts) if span[0] < span[1]]


def _start(
    decoder: Decoder,
    dense: Trunk,
    job: Job,
    stop: frozenset[int],
    deadline: Deadline,
    shared_seconds: float,
    phase: Phase,
) -> _Run:
    """The job's own trunk, on which its method has acted."""
    began = time.perf_counter()
    trunk = dense.fork()
    kept, noop = _compress(trunk, job)
    _synchronise(trunk)
    times = {
        "prefill": StageTime(shared_seconds, "shared"),
        "compress": StageTime(time.perf_counter() - began, "own"),
    }
    return _Run(decoder, trunk, job, stop, deadline, kept, noop, times, phase)


@dataclass
class _Run:
    """One job over its own trunk, from the end of the base on."""

    decoder: Decoder
    trunk: Trunk
    job: Job
    stop: frozenset[int]
    deadline: Deadline
    kept: tuple[int, ...]
    noop: bool
    times: dict[str, StageTime]
    phase: Phase
    seconds: dict[int, float] = field(default_factory=dict)  # spent on the span that ends at a point

    def together(self) -> list[Turn]:
        """The whole trunk is known: extend it from point to point, then answer all branches as one batch."""
        self.extend()
        return self.answered()

    def extend(self) -> None:
        """The rest of the trunk, from point to point."""
        layout = self.job.layout
        first_leave = min(branch.leaves for branch in layout.branches)
        for start, stop in _spans(layout, layout.base, len(layout.trunk)):
            self._extend(layout.trunk[start:stop], first_leave)

    def answered(self) -> list[Turn]:
        """All branches as one batch, once the trunk is complete."""
        return self.turns(*self._answer(self.job.layout.branches))

    def turns(self, answers: Sequence[Answer], decode: StageTime) -> list[Turn]:
        """What is known of every branch, now that it is answered."""
        branches = self.job.layout.branches
        return [self._turn(branch, answer, decode) for branch, answer in zip(branches, answers, strict=True)]

    def one_by_one(self) -> list[Turn]:
        """Each answer becomes part of the trunk, so turn follows turn."""
        layout, turns = self.job.layout, []
        self._extend(layout.trunk[layout.base :], len(layout.trunk))
        for turn in range(1 + len(self.job.feedback)):
            (answer,), decode = self._answer(layout.branches[-1:])
            turns.append(self._turn(layout.branches[-1], answer, decode))
            if turn < len(self.job.feedback):
                longer = extend(layout, answer.tokens, *self.job.feedback[turn])
                self._extend(longer.trunk[len(layout.trunk) :], len(longer.trunk))
                layout = longer
        return turns

    def rows(self, branches: Sequence[Branch]) -> list[Row]:
        """The branches as rows of a batch."""
        return [Row(self.trunk.view(branch.leaves), branch.suffix, branch.max_new_tokens) for branch in branches]

    def _extend(self, ids: Sequence[int], first_leave: int) -> None:
        if not ids:
            return
        began = time.perf_counter()
        self.decoder.extend(
            self.trunk, ids, first_leave, self.deadline, lambda n, total: self.phase("extend", n, total)
        )
        _synchronise(self.trunk)
        self.seconds[self.trunk.length] = time.perf_counter() - began

    def _answer(self, branches: Sequence[Branch]) -> tuple[list[Answer], StageTime]:
        began = time.perf_counter()
        answers = self.decoder.answer(
            self.rows(branches), self.stop, self.deadline, lambda n, total: self.phase("decode", n, total)
        )
        return answers, StageTime(time.perf_counter() - began, "batch", len(branches))

    def _turn(self, branch: Branch, answer: Answer, decode: StageTime) -> Turn:
        extended = StageTime(self.seconds.get(branch.leaves, 0.0), "own")
        return Turn(
            answer=answer,
            prompt=(*self.trunk.ids[: branch.leaves], *branch.suffix),
            kept=self.kept,
            noop=self.noop,
            kv_bytes=_kv_bytes(self.trunk, branch, self._nominal_ratio()),
            times={**self.times, "extend": extended, "decode": decode},
            kernels=tuple(sorted(self.decoder.kernels.used)),
        )

    def _nominal_ratio(self) -> float:
        base = self.job.layout.base
        if self.job.budget is None or not self.job.method.uses_budget or not base:  # nothing to keep a share of
            return 1.0
        return min(1.0, self.job.budget.tokens(base, _token_bytes(self.trunk)) / base)


def _compress(trunk: Trunk, job: Job) -> tuple[tuple[int, ...], bool]:
    """Let the method act on every full-attention layer: tokens kept per layer, and whether it had nothing to do.

    Raises RuntimeError if a method that had something to do left a layer as it was: its numbers would be
    reported as something that they are not.
    """
    base = Base(trunk.length, job.layout.protected)
    method = job.method
    if job.budget is not None and method.uses_budget:
        method = method.with_tokens(job.budget.tokens(base.tokens, _token_bytes(trunk)))
    noop = method.idle(base) or None not in trunk.shape.windows
    for index, window in enumerate(trunk.shape.windows):
        if window is None and not noop and "compression" in method.stages:
            dense = trunk.past(index)
            made = method.compress(dense, Layer(index, trunk.shape.layers), base)
            if made is dense:
                raise RuntimeError(f"{type(method).__name__} should have acted on layer {index} and did not")
            trunk.replace(index, made)
    kept = tuple(round(layer.tokens) for layer in trunk.footprint(trunk.length))
    return kept, noop


def _kv_bytes(trunk: Trunk, branch: Branch, ratio: float) -> KvBytes:
    shape = trunk.shape
    own = len(branch.suffix) * shape.token_bytes * shape.layers
    total = branch.leaves + len(branch.suffix)
    dense = sum(shape.token_bytes * (total if w is None else min(total, w)) for w in shape.windows)
    layers: list[Footprint] = trunk.footprint(branch.leaves)
    return KvBytes(
        dense=dense,
        nominal=round(dense * ratio),
        stored=sum(layer.stored for layer in layers) + own,
        touched=sum(layer.touched for layer in layers) + own,
    )


def _token_bytes(trunk: Trunk) -> int:
    """Bytes of one token over the layers on which methods act."""
    return trunk.shape.token_bytes * max(1, sum(window is None for window in trunk.shape.windows))


def _common_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    for index, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return index
    return min(len(left), len(right))


def _synchronise(trunk: Trunk) -> None:
    if trunk.shape.device.type == "cuda":
        torch.cuda.synchronize(trunk.shape.device)
