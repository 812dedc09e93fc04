"""One session, many cells: a prefill is shared, then each cell's method acts and its branches answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from scbench.engine.acting import ONCE, act, act_again
from scbench.engine.adapter import Shape
from scbench.engine.answer import Answer, Deadline, Decoder
from scbench.engine.failure import Failure
from scbench.engine.source import Plan, Source, spans, synchronise
from scbench.engine.trunk import Trunk
from scbench.engine.view import Row
from scbench.methods.base import PROMPT, Base
from scbench.methods.budget import Budget
from scbench.methods.compose import Composition
from scbench.modes import Branch, Layout, alone, extend
from scbench.record import KvBytes, StageTime
from scbench.segments.base import Footprint

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """What one cell does with a session.

    With gold history (and in multi-request mode) `layout` is complete and `feedback` empty. With generated history
    the layout has the first turn only, and `feedback` holds, per later turn, its followup tokens and its limit on
    new tokens: the layout grows by each answer. `compress` says what happens at the points after the base (`once`:
    nothing; `each`, `isolated`). With `each_query` the method acts for every question anew, on the full cache.
    """

    cell: str
    layout: Layout
    method: Composition
    budget: Budget | None
    feedback: tuple[tuple[tuple[int, ...], int], ...] = ()
    compress: str = ONCE
    each_query: bool = False


@dataclass(frozen=True)
class Turn:
    """What the engine saw of one answered turn. `prompt` are the ids that the answer follows.

    `kept` are tokens per layer in the turn's view; `density` per layer the share of causal entries that a planned
    prefill computed, empty for a dense one.
    """

    answer: Answer
    prompt: tuple[int, ...]
    kept: tuple[int, ...]
    density: tuple[float, ...]
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
    longest: int,
    batch: str = "method",
) -> Iterator[Done]:
    """Answer every job's turns; a job that fails costs itself only. Yields each job as it is done.

    Jobs with the same prefill share it: their source grows from base to base, and a layout that does not continue it
    starts from their common prefix. With `batch="family"` the answers of all jobs that are known to the end are decoded
    as one batch, at the cost of holding all their caches. `longest` is the longest sequence of the dialogue in any
    mode, with its answer: some models' positions depend on it, and no cell's may depend on which others run.
    """
    decoder.adapter.prepare(longest)
    session = _Session(decoder, stop, timeout, phase)
    waiting: list[_Run] = []
    for plan, group in _by_prefill(jobs, decoder.adapter.shape):
        source = Source(decoder, plan, _widest(group), max(job.layout.base for job in group))
        for job in group:
            deadline = Deadline(timeout)
            try:
                if job.each_query:
                    done = Done(job, tuple(_each_query(session, source, job, deadline)))
                else:
                    run = _start(session, source, job, job.layout, deadline)
                    if batch == "family" and not job.feedback:
                        run.extend()
                        waiting.append(run)
                        continue
                    done = Done(job, tuple(run.one_by_one() if job.feedback else run.together()))
            except Exception as error:
                done = Done(job, failure=Failure.of(error))
                source.mend()
            yield done
        del source
    yield from _answer_family(session, waiting)


@dataclass(frozen=True)
class _Session:
    decoder: Decoder
    stop: frozenset[int]
    timeout: float | None
    phase: Phase

    def report(self, what: str) -> Callable[[int, int], None]:
        """Progress of one stage."""
        return lambda done, total: self.phase(what, done, total)


def _by_prefill(jobs: Sequence[Job], shape: Shape) -> list[tuple[Plan | None, list[Job]]]:
    """The jobs grouped by the prefill that they can share, those with the shorter base first."""
    groups: dict[Plan | None, list[Job]] = {}
    for job in sorted(jobs, key=lambda job: (job.each_query, job.layout.base)):
        groups.setdefault(None if job.each_query else _plan(job, job.layout, shape), []).append(job)
    return list(groups.items())


def _plan(job: Job, layout: Layout, shape: Shape) -> Plan | None:
    """How the base of the job's layout is prefilled; None for a dense prefill."""
    method = resolved(job, shape, layout.base).acting(Base(layout.base, layout.protected))
    planner = method.at("generation")
    if planner is None or planner.rewrites or None not in shape.windows:
        return None
    return Plan(planner, layout.base if planner.horizon == PROMPT else None)


def resolved(job: Job, shape: Shape, tokens: int) -> Composition:
    """The job's method with its parameters set to the budget of a base of so many tokens."""
    if job.budget is None or not job.method.uses_budget:
        return job.method
    return job.method.with_tokens(job.budget.tokens(tokens, token_bytes(shape)))


def _widest(jobs: Sequence[Job]) -> int:
    """The most queries that a job's method wants to see."""
    return max(job.method.queries for job in jobs)


def _answer_family(session: _Session, runs: list[_Run]) -> Iterator[Done]:
    """All jobs' answers as one batch; if that fails, each job's alone, so that the failure finds its owner."""
    if not runs:
        return
    deadline = Deadline(None if session.timeout is None else session.timeout * len(runs))
    answered: Answered | None = None
    rows: list[Row] = []
    try:
        for run in runs:
            rows += run.rows(run.job.layout.branches)
        answered = _answer(session, rows, deadline)
    except Exception as error:
        reason = Failure.of(error).detail
        _log.warning("the family's batch of %d branches failed, now cell by cell: %s", len(rows), reason)
    rows.clear()
    while runs:
        run = runs.pop(0)
        try:
            if answered is None:
                run.deadline = Deadline(session.timeout)
                yield Done(run.job, tuple(run.answered()))
            else:
                count = len(run.job.layout.branches)
                own, answered = answered.split(count)
                yield Done(run.job, tuple(run.turns(own)))
        except Exception as error:
            yield Done(run.job, failure=Failure.of(error))


def _each_query(session: _Session, source: Source, job: Job, deadline: Deadline) -> list[Turn]:
    """Every branch for itself: its whole prompt is the base on which the method acts, and which it may plan."""
    layout, turns = job.layout, []
    for turn in range(len(layout.branches) + len(job.feedback)):
        one = alone(layout, layout.branches[turn])
        plan = _plan(job, one, source.trunk.shape)
        own = source if plan is None else Source(session.decoder, plan, job.method.queries, one.base)
        run = _start(session, own, job, one, deadline)
        turns += run.together()
        if turn < len(job.feedback):
            layout = extend(layout, turns[-1].answer.tokens, *job.feedback[turn])
    return turns


def _start(session: _Session, source: Source, job: Job, layout: Layout, deadline: Deadline) -> _Run:
    """The job's own trunk, on which its method has acted."""
    source.reach(layout, deadline, session.report("prefill"))
    began = time.perf_counter()
    trunk = source.trunk.fork()
    shape = trunk.shape
    method = resolved(job, shape, layout.base)
    base = Base(layout.base, layout.protected)
    acting = method.acting(base)
    acts = [part for part in method.parts if part.stages]
    noop = bool(acts) and (None not in shape.windows or not any(part.stages for part in acting.parts))
    if not noop:
        ring = trunk.ring
        if layout.observed and method.queries:
            ring = session.decoder.observe(trunk, layout.observed)
        act(trunk, acting, base, ring)
    trunk.mark()
    synchronise(shape.device)
    times = {
        "prefill": StageTime(source.seconds, "shared"),
        "compress": StageTime(time.perf_counter() - began, "own"),
    }
    return _Run(session, trunk, job, layout, deadline, noop, times)


@dataclass
class _Run:
    """One job over its own trunk, from the end of the base on."""

    session: _Session
    trunk: Trunk
    job: Job
    layout: Layout
    deadline: Deadline
    noop: bool
    times: dict[str, StageTime]
    seconds: dict[int, float] = field(default_factory=dict)  # spent on the span that ends at a point

    def together(self) -> list[Turn]:
        """The whole trunk is known: extend it from point to point, then answer all branches as one batch."""
        self.extend()
        return self.answered()

    def extend(self) -> None:
        """The rest of the trunk, from point to point."""
        first_leave = min(branch.leaves for branch in self.layout.branches)
        for start, stop in spans(self.layout, self.layout.base, len(self.layout.trunk)):
            self._extend(self.layout.trunk[start:stop], first_leave)

    def answered(self) -> list[Turn]:
        """All branches as one batch, once the trunk is complete."""
        return self.turns(self._answer(self.layout.branches))

    def turns(self, answered: Answered) -> list[Turn]:
        """What is known of every branch, now that it is answered."""
        branches = self.layout.branches
        return [self._turn(branch, *one, answered) for branch, one in zip(branches, answered.each(), strict=True)]

    def one_by_one(self) -> list[Turn]:
        """Each answer becomes part of the trunk, so turn follows turn."""
        turns: list[Turn] = []
        self._extend(self.layout.trunk[self.layout.base :], len(self.layout.trunk))
        for turn in range(1 + len(self.job.feedback)):
            answered = self._answer(self.layout.branches[-1:])
            ((row, answer),) = answered.each()
            turns.append(self._turn(self.layout.branches[-1], row, answer, answered))
            if turn < len(self.job.feedback):
                longer = extend(self.layout, answer.tokens, *self.job.feedback[turn])
                ids, self.layout = longer.trunk[len(self.layout.trunk) :], longer
                self._extend(ids, len(longer.trunk))
        return turns

    def rows(self, branches: Sequence[Branch]) -> list[Row]:
        """The branches as rows of a batch.

        Where a form takes over new tokens at points, or layers keep states, a question is a span of the branch's own
        fork.
        """
        if not self.trunk.absorbs and self.trunk.states is None:
            return [Row(self.trunk.view(b.leaves), b.suffix, b.max_new_tokens) for b in branches]
        return [self._own(branch) for branch in branches]

    def _own(self, branch: Branch) -> Row:
        if not branch.suffix:
            return Row(self.trunk.view(branch.leaves), (), branch.max_new_tokens)
        if branch.leaves != self.trunk.length:
            raise RuntimeError("a branch with a question leaves from the end of the trunk")
        fork = self.trunk.fork()
        self.session.decoder.extend(fork, branch.suffix, branch.leaves, self.deadline, lambda *_: None)
        fork.settle()
        return Row(fork.view(fork.length), (), branch.max_new_tokens)

    def _extend(self, ids: Sequence[int], first_leave: int) -> None:
        if not ids:
            return
        began = time.perf_counter()
        self.session.decoder.extend(self.trunk, ids, first_leave, self.deadline, self.session.report("extend"))
        if not self.noop:
            act_again(self.trunk, self._resolve, self.layout, self.job.compress)
        self.trunk.mark()
        synchronise(self.trunk.shape.device)
        self.seconds[self.trunk.length] = time.perf_counter() - began

    def _resolve(self, tokens: int) -> Composition:
        return resolved(self.job, self.trunk.shape, tokens)

    def _answer(self, branches: Sequence[Branch]) -> Answered:
        began = time.perf_counter()
        rows = self.rows(branches)
        return _answer(self.session, rows, self.deadline, time.perf_counter() - began)

    def _turn(self, branch: Branch, row: Row, answer: Answer, answered: Answered) -> Turn:
        shape = self.trunk.shape
        layers = row.view.footprint(shape.windows, shape.token_bytes)
        extended = StageTime(self.seconds.get(branch.leaves, 0.0), "own")
        return Turn(
            answer=answer,
            prompt=(*self.trunk.ids[: branch.leaves], *branch.suffix),
            kept=tuple(round(layer.tokens) for layer in layers),
            density=self.trunk.density(),
            noop=self.noop,
            kv_bytes=_kv_bytes(shape, row, layers, self._nominal_ratio()),
            times={**self.times, "extend": extended, "question": answered.question, "decode": answered.decode},
            kernels=tuple(sorted(self.session.decoder.kernels.used)),
        )

    def _nominal_ratio(self) -> float:
        base = self.layout.base
        if self.job.budget is None or not self.job.method.uses_budget or not base:  # nothing to keep a share of
            return 1.0
        return min(1.0, self.job.budget.tokens(base, token_bytes(self.trunk.shape)) / base)


@dataclass(frozen=True)
class Answered:
    """Rows of one batch and their answers, and what reading the questions and decoding took."""

    rows: Sequence[Row]
    answers: Sequence[Answer]
    question: StageTime
    decode: StageTime

    def each(self) -> list[tuple[Row, Answer]]:
        """Row by row."""
        return list(zip(self.rows, self.answers, strict=True))

    def split(self, count: int) -> tuple[Answered, Answered]:
        """The first `count` rows, and the others; times are those of the whole batch."""
        first = replace(self, rows=self.rows[:count], answers=self.answers[:count])
        return first, replace(self, rows=self.rows[count:], answers=self.answers[count:])


def _answer(session: _Session, rows: Sequence[Row], deadline: Deadline, before: float = 0.0) -> Answered:
    """Read the questions of the rows and decode their answers; `before` seconds were spent on the questions already."""
    began = time.perf_counter()
    opened = session.decoder.open(rows)
    synchronise(session.decoder.adapter.shape.device)
    read = time.perf_counter()
    answers = session.decoder.decode(opened, session.stop, deadline, session.report("decode"))
    question = StageTime(read - began + before, "batch", len(rows))
    return Answered(tuple(rows), answers, question, StageTime(time.perf_counter() - read, "batch", len(rows)))


def _kv_bytes(shape: Shape, row: Row, layers: Sequence[Footprint], ratio: float) -> KvBytes:
    own = len(row.suffix) * shape.token_bytes * shape.layers + row.view.state_bytes
    total = row.view.length + len(row.suffix)
    dense = sum(shape.token_bytes * (total if w is None else min(total, w)) for w in shape.windows)
    dense += row.view.state_bytes
    return KvBytes(
        dense=dense,
        nominal=round(dense * ratio),
        stored=sum(layer.stored for layer in layers) + own,
        touched=sum(layer.touched for layer in layers) + own,
    )


def token_bytes(shape: Shape) -> int:
    """Bytes of one token over the layers on which methods act."""
    return max(1, shape.token_bytes * sum(window is None for window in shape.windows))
