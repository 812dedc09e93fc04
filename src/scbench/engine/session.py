"""One session, many cells: a prefill is shared, then each cell's method acts and its branches answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from scbench.engine.adapter import Shape
from scbench.engine.answer import Deadline, Decoder
from scbench.engine.answering import Answered, Phase, Setting, answer_rows
from scbench.engine.cell_run import CellRun, Reference, start
from scbench.engine.config import FAMILY, EngineConfig
from scbench.engine.dense_reference import DenseReference
from scbench.engine.failure import Failure
from scbench.engine.job import Done, Job, Turn
from scbench.engine.source import Plan, Source
from scbench.engine.view import Row
from scbench.methods.base import PROMPT, Base, Passes
from scbench.modes import Layout, alone, extend

Prefill = tuple[Passes | None, Plan | None]  # how its passes are cut, and what is read in them, if not as usual

_log = logging.getLogger(__name__)


def run_session(
    decoder: Decoder, jobs: Sequence[Job], stop: frozenset[int], config: EngineConfig, phase: Phase, longest: int
) -> Iterator[Done]:
    """Answer every job's turns; a job that fails costs itself only. Yields each job as it is done.

    Jobs with the same prefill share it: their source grows from base to base, and a layout that does not continue it
    starts from their common prefix. With `config.batch="family"` the answers of all jobs that are known to the end are
    decoded as one batch, at the cost of holding all their caches. `longest` is the longest sequence of the dialogue in
    any mode, with its answer: some models' positions depend on it, and no cell's may depend on which others run.
    """
    steps = _steps(decoder, jobs, stop, config, phase, longest)
    while True:
        with torch.inference_mode():  # left before every yield: it would be the caller's too
            done = next(steps, None)
        if done is None:
            return
        yield done


def _steps(
    decoder: Decoder, jobs: Sequence[Job], stop: frozenset[int], config: EngineConfig, phase: Phase, longest: int
) -> Iterator[Done]:
    decoder.adapter.prepare(longest)
    setting = Setting(decoder, stop, config, phase)
    reference = DenseReference(setting)
    waiting: list[CellRun] = []
    groups, refused = _by_prefill(jobs, decoder.adapter.shape)
    yield from refused
    for (passes, plan), group in groups:
        if passes is not None:  # compared with the dense cells, which have to be answered before
            yield from _answer_family(setting, waiting)
        source: Source | None = None
        for job in group:
            deadline = setting.deadline()
            try:
                own = setting if passes is None else replace(setting, decoder=decoder.cut(passes))
                if source is None:
                    source = Source(own.decoder, plan, _widest(group), max(job.layout.base for job in group))
                if job.each_query:
                    done = Done(job, tuple(_each_query(own, source, job, deadline, reference)))
                else:
                    run = start(own, source, job, job.layout, deadline, reference)
                    if config.batch == FAMILY and not job.feedback and passes is None:
                        run.extend()
                        waiting.append(run)
                        continue
                    done = Done(job, tuple(run.one_by_one() if job.feedback else run.together()))
            except Exception as error:
                done = Done(job, failure=Failure.of(error))
                if source is not None:
                    source.mend()
            yield done
        del source
    yield from _answer_family(setting, waiting)


def _by_prefill(jobs: Sequence[Job], shape: Shape) -> tuple[list[tuple[Prefill, list[Job]]], list[Done]]:
    """The jobs grouped by the prefill that they can share, dense ones and those with the shorter base first.

    And those whose method already fails when it is asked what it needs.
    """
    groups: dict[Prefill, list[Job]] = {}
    refused = []
    for job in sorted(jobs, key=_order):
        try:
            plan = None if job.each_query else _plan(job, job.layout, shape)
            groups.setdefault((job.method.passes, plan), []).append(job)
        except Exception as error:
            refused.append(Done(job, failure=Failure.of(error)))
    return list(groups.items()), refused


def _order(job: Job) -> tuple[bool, bool, int, bool]:
    """Jobs whose passes are cut in another way come last: the dense ones that they are compared with are done then."""
    return job.method.passes is not None, job.each_query, job.layout.base, bool(job.method.stages)


def _plan(job: Job, layout: Layout, shape: Shape) -> Plan | None:
    """How the base of the job's layout is prefilled; None for a dense prefill."""
    method = job.resolved(shape, layout.base).acting(Base(layout.base, layout.protected))
    assembler, planner = method.at("retrieval"), method.at("generation")
    if assembler is not None:
        return Plan(assembler, reused=Base(layout.context, layout.protected))
    if planner is None or planner.rewrites or None not in shape.windows:
        return None
    return Plan(planner, layout.base if planner.horizon == PROMPT else None)


def _widest(jobs: Sequence[Job]) -> int:
    """The most queries that a job's method wants to see."""
    return max(job.method.queries for job in jobs)


def _answer_family(setting: Setting, runs: list[CellRun]) -> Iterator[Done]:
    """All jobs' answers as one batch; if that fails, each job's alone, so that the failure finds its owner."""
    if not runs:
        return
    answered: Answered | None = None
    rows: list[Row] = []
    began = time.perf_counter()
    try:
        deadline = setting.deadline(len(runs))
        for run in runs:
            run.deadline = deadline
            rows += run.rows(run.job.layout.branches)
        answered = answer_rows(setting, rows, deadline, time.perf_counter() - began)
    except Exception as error:
        reason = Failure.of(error).detail
        _log.warning("the family's batch of %d branches failed, now cell by cell: %s", len(rows), reason)
    rows.clear()
    while runs:
        run = runs.pop(0)
        run.deadline = setting.deadline()
        try:
            if answered is None:
                yield Done(run.job, tuple(run.answered()))
            else:
                count = len(run.job.layout.branches)
                own, answered = answered.split(count)
                yield Done(run.job, tuple(run.turns(own)))
        except Exception as error:
            yield Done(run.job, failure=Failure.of(error))


def _each_query(setting: Setting, source: Source, job: Job, deadline: Deadline, reference: Reference) -> list[Turn]:
    """Every branch for itself: its whole prompt is the base on which the method acts, and which it may plan."""
    layout, turns = job.layout, list[Turn]()
    for turn in range(len(layout.branches) + len(job.feedback)):
        one = alone(layout, layout.branches[turn])
        plan = _plan(job, one, source.trunk.shape)
        own = source if plan is None else Source(setting.decoder, plan, job.method.queries, one.base)
        run = start(setting, own, job, one, deadline, reference)
        turns += run.together()
        if turn < len(job.feedback):
            layout = extend(layout, turns[-1].answer.tokens, *job.feedback[turn])
    return turns
