"""One job over a trunk of its own: its method has acted, the trunk grows from point to point, branches answer."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from torch import Tensor

from scbench.engine.acting import act, act_again, focus
from scbench.engine.adapter import Shape
from scbench.engine.answer import Answer, Deadline, Decoder
from scbench.engine.answering import Answered, Setting, answer_rows
from scbench.engine.config import ATTENTION
from scbench.engine.device import synchronise
from scbench.engine.diagnostics import STATES_REFUSED, Looked, diagnosed, look, steps_of
from scbench.engine.fidelity import fidelity, gold_predictions
from scbench.engine.job import Job, Turn
from scbench.engine.kept_share import kept_share
from scbench.engine.memory import PeakMemory
from scbench.engine.source import Source, spans
from scbench.engine.trunk import Trunk
from scbench.engine.view import Row, View
from scbench.errors import ScbenchError
from scbench.methods.base import Base
from scbench.methods.compose import Composition
from scbench.modes import Branch, Layout, extend
from scbench.record import Diagnostics, Fidelity, KvBytes, StageTime
from scbench.segments.base import Footprint

EIGHTH = 8  # of the base is most attended, where no budget says how many positions are


class Reference(Protocol):
    """What the dense cache predicts along the gold answers of a layout's branches, for a measure of divergence."""

    def keep(self, layout: Layout, predictions: Sequence[Tensor]) -> None:
        """These are the dense cache's."""

    def of(self, job: Job, layout: Layout, source: Source, deadline: Deadline) -> Sequence[Tensor | None]:
        """Per branch the dense cache's, or None where they are not to be had."""

    def run(self, job: Job, layout: Layout, source: Source, deadline: Deadline) -> CellRun:
        """The dense cache over the same layout, extended to its end."""


def start(
    setting: Setting, source: Source, job: Job, layout: Layout, deadline: Deadline, reference: Reference
) -> CellRun:
    """Bring the source to the layout's base, fork it, and let the job's method act."""
    if setting.config.diagnostics == ATTENTION and source.trunk.shape.states:
        raise ScbenchError(STATES_REFUSED)
    source.reach(layout, deadline, setting.report("prefill"))
    trunk = source.trunk.fork()
    shape = trunk.shape
    began, memory = time.perf_counter(), PeakMemory(*shape.devices)
    method = job.resolved(shape, layout.base)
    base = Base(layout.base, layout.protected)
    acting = method.acting(base)
    full = None in shape.windows  # only there methods act
    if full and acting.stages:
        ring = trunk.ring
        if layout.observed and method.queries:
            ring = setting.decoder.observe(trunk, layout.observed, trunk.length)
        act(trunk, acting, base, ring)
    trunk.mark()
    times = {
        "prefill": StageTime(source.seconds, "shared"),
        **({"precompute": StageTime(source.precompute, "shared")} if source.precompute else {}),
    }
    acted = job.rewritten or source.planned or (full and not method.idle(base))
    run = CellRun(setting, source, trunk, job, layout, deadline, reference, acted, times)
    run.focus()
    synchronise(*shape.devices)
    times["compress"] = StageTime(time.perf_counter() - began, "own")
    run.settled(memory, "compress")
    return run


@dataclass
class CellRun:
    """One job over its own trunk, from the end of the base on."""

    setting: Setting
    source: Source
    trunk: Trunk
    job: Job
    layout: Layout
    deadline: Deadline
    reference: Reference
    acted: bool  # whether its method has changed anything so far
    times: dict[str, StageTime]
    seconds: dict[int, float] = field(default_factory=dict)  # spent on the span that ends at a point
    idle: dict[int, bool] = field(default_factory=dict)  # at a point: the method has had nothing to do
    focused: dict[int, View] = field(default_factory=dict)  # what the answer reads that begins at a point
    peaks: dict[str, int] = field(default_factory=dict)
    kernels: frozenset[str] = frozenset()
    before: Looked | None = None  # where dense attention looked at the turn before

    def settled(self, memory: PeakMemory, stage: str) -> None:
        """At a point: what the work up to it took, and whether the method has had anything to do."""
        self._spent(memory, stage)
        self.idle[self.trunk.length] = bool(self.job.method.stages) and not self.acted

    def _spent(self, memory: PeakMemory, stage: str) -> None:
        self.kernels |= self.setting.decoder.kernels.taken()
        peak = memory.bytes()
        if peak is not None:
            self.peaks[stage] = max(peak, self.peaks.get(stage, 0))

    def focus(self) -> None:
        """At a point: if answers begin here, let the method choose what they read, if it does that."""
        if any(branch.leaves == self.trunk.length and not branch.suffix for branch in self.layout.branches):
            view = self._focus(self.trunk)
            if view is not None:
                self.focused[self.trunk.length] = view

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
        """What is known of every branch, now that all of them are answered."""
        return self._turns(self.layout.branches, answered)

    def one_by_one(self) -> list[Turn]:
        """Each answer becomes part of the trunk, so turn follows turn."""
        turns: list[Turn] = []
        self._extend(self.layout.trunk[self.layout.base :], len(self.layout.trunk))
        for turn in range(1 + len(self.job.feedback)):
            last = self.layout.branches[-1:]
            turns += self._turns(last, self._answer(last))
            if turn < len(self.job.feedback):
                longer = extend(self.layout, turns[-1].answer.tokens, *self.job.feedback[turn])
                ids, self.layout = longer.trunk[len(self.layout.trunk) :], longer
                self._extend(ids, len(longer.trunk))
        return turns

    def rows(self, branches: Sequence[Branch]) -> list[Row]:
        """The branches as rows of a batch.

        Where a form takes over new tokens at points, a method chooses for every answer what it reads, or layers keep
        states, a question is a span of the branch's own fork.
        """
        if not self.trunk.absorbs and not self._focuses and self.trunk.states is None:
            return [Row(self.trunk.view(b.leaves), b.suffix, b.max_new_tokens) for b in branches]
        asked = iter(self._asked([branch for branch in branches if branch.suffix]))
        views = [next(asked) if b.suffix else self.focused.get(b.leaves) or self.trunk.view(b.leaves) for b in branches]
        return [Row(view, (), branch.max_new_tokens) for view, branch in zip(views, branches, strict=True)]

    def predictions(self, branches: Sequence[Branch], rows: Sequence[Row]) -> list[Tensor]:
        """Per branch, what its row predicts along the gold answer."""
        return gold_predictions(self.setting.decoder, rows, [self.job.gold[branch.turn] for branch in branches])

    def _asked(self, branches: Sequence[Branch]) -> list[View]:
        """What each branch's answer reads: a fork of the trunk behind which its question has been read."""
        if any(branch.leaves != self.trunk.length for branch in branches):
            raise RuntimeError("a branch with a question leaves from the end of the trunk")
        decoder, leaves, memory = self.setting.decoder, self.trunk.length, PeakMemory(*self.trunk.shape.devices)
        decoder.kernels.taken()  # by others
        forks, suffixes = [self.trunk.fork() for _ in branches], [branch.suffix for branch in branches]
        if self._focuses or self.trunk.states is not None:  # the last to ask has to be known, or rows can't be padded
            for fork, suffix in zip(forks, suffixes, strict=True):
                decoder.extend(fork, suffix, leaves, self.deadline, lambda *_: None)
        elif forks:
            decoder.extend_each(forks, suffixes, leaves, self.deadline)
        for fork in forks:
            fork.settle()
        views = [self._focus(fork) or fork.view(fork.length) for fork in forks]
        self._spent(memory, "extend")
        return views

    def _focus(self, trunk: Trunk) -> View | None:
        method = self._resolve(self.layout.base)
        return focus(trunk, method, Base(trunk.length, self.layout.protected))

    @property
    def _focuses(self) -> bool:
        loader = self.job.method.at("loading")
        return loader is not None and loader.focuses

    def _extend(self, ids: Sequence[int], first_leave: int) -> None:
        if not ids:
            return
        began, memory = time.perf_counter(), PeakMemory(*self.trunk.shape.devices)
        decoder: Decoder = self.setting.decoder
        decoder.extend(self.trunk, ids, first_leave, self.deadline, self.setting.report("extend"))
        if None in self.trunk.shape.windows:
            self.acted |= act_again(self.trunk, self._resolve, self.layout, self.job.compress)
        self.trunk.mark()
        self.focus()
        self.settled(memory, "extend")
        synchronise(*self.trunk.shape.devices)
        self.seconds[self.trunk.length] = time.perf_counter() - began

    def _resolve(self, tokens: int, protected: bool = True) -> Composition:
        return self.job.resolved(self.trunk.shape, tokens, protected)

    def _grown(self, tokens: int) -> bool:
        """Whether a form that takes over new tokens has something to do with so many, though it had not on the base."""
        method = self.job.resolved(self.trunk.shape, self.layout.base)
        growing = [part for part in method.parts if part.grows and not part.idle(Base(tokens))]
        return None in self.trunk.shape.windows and bool(growing)

    def _answer(self, branches: Sequence[Branch]) -> Answered:
        began = time.perf_counter()
        rows = self.rows(branches)
        return answer_rows(self.setting, rows, self.deadline, time.perf_counter() - began)

    def _turns(self, branches: Sequence[Branch], answered: Answered) -> list[Turn]:
        measured: list[Fidelity | None] = [None] * len(branches)
        times, began = dict(self.times), time.perf_counter()
        if self.job.gold:
            measured = list(self._fidelity(branches, answered.rows))
            times["fidelity"] = StageTime(time.perf_counter() - began, "own")
        looked: list[Diagnostics | None] = [None] * len(branches)
        if self.setting.config.diagnostics == ATTENTION:
            began = time.perf_counter()
            looked = list(self._diagnose(branches, answered))
            times["diagnostics"] = StageTime(time.perf_counter() - began, "own")
        return [
            replace(self._turn(branch, *one, answered, times), fidelity=found, diagnostics=seen)
            for branch, one, found, seen in zip(branches, answered.each(), measured, looked, strict=True)
        ]

    def _fidelity(self, branches: Sequence[Branch], rows: Sequence[Row]) -> list[Fidelity]:
        found = self.predictions(branches, rows)
        layout = replace(self.layout, branches=tuple(branches))
        dense: Sequence[Tensor | None] = found
        if self.job.rewritten:  # dense over the text as it was asks after other tokens
            dense = [None] * len(found)
        elif self._is_dense:
            self.reference.keep(layout, found)
        else:
            dense = self.reference.of(self.job, layout, self.source, self.deadline)
        gold = [self.job.gold[branch.turn] for branch in branches]
        return [fidelity(*one) for one in zip(gold, found, dense, strict=True)]

    def _diagnose(self, branches: Sequence[Branch], answered: Answered) -> Iterator[Diagnostics]:
        decoder, base = self.setting.decoder, self.layout.base
        layout = replace(self.layout, branches=tuple(branches))
        dense = self.reference.run(self.job, layout, self.source, self.deadline).trunk
        count = max(1, base // EIGHTH) if self.job.budget is None else self.job.budget_tokens(self.trunk.shape)
        count = min(count, base)
        last = (dense.ids[base - 1], *self.layout.observed)
        then = look(decoder, dense.view(base - 1), last, [len(last) - 1], None, base, count)
        for branch, (row, answer) in zip(branches, answered.each(), strict=True):
            leaves = branch.leaves if branch.suffix else branch.leaves - 1  # whose last token predicts the answer
            asked = branch.suffix or (dense.ids[branch.leaves - 1],)
            steps = steps_of(answer.tokens)
            rows = [len(asked) - 1 + step for step in steps]
            ids = (*asked, *answer.tokens)[: rows[-1] + 1]
            looked = look(decoder, dense.view(leaves), ids, rows, row.view, base, count)
            yield diagnosed(looked, then, self.before, steps, count)
            self.before = looked

    @property
    def _is_dense(self) -> bool:
        """Whether nothing was changed: there is no method, or it had nothing to do, and passes were cut as usual."""
        growing = self.job.method.growing and None in self.trunk.shape.windows
        usual = self.job.method.passes is None
        return usual and not self.source.planned and not self.acted and not growing

    def _turn(
        self,
        branch: Branch,
        row: Row,
        answer: Answer,
        answered: Answered,
        times: dict[str, StageTime],
    ) -> Turn:
        shape = self.trunk.shape
        layers = row.view.footprint(shape.windows, shape.token_bytes)
        extended = StageTime(self.seconds.get(branch.leaves, 0.0), "own")
        places = self.job.gold_places[branch.turn] if self.job.gold_places else ()
        peaks = {"prefill": self.source.peak, **self.peaks, "decode": answered.peak}
        return Turn(
            answer=answer,
            prompt=self._prompt(branch),
            kept=tuple(round(layer.tokens) for layer in layers),
            density=self.trunk.density(branch.leaves),
            noop=self.idle[max(branch.leaves, self.layout.base)] and not self._grown(len(self._prompt(branch))),
            kv_bytes=_kv_bytes(shape, row, layers, self.job),
            times={**times, "extend": extended, "question": answered.question, "decode": answered.decode},
            kernels=tuple(sorted(self.source.kernels | self.kernels | answered.kernels)),
            peak_bytes={stage: peak for stage, peak in peaks.items() if peak is not None},
            gold_kept=kept_share(row.view, places, shape.windows),
        )

    def _prompt(self, branch: Branch) -> tuple[int, ...]:
        return (*self.trunk.ids[: branch.leaves], *branch.suffix)


def _kv_bytes(shape: Shape, row: Row, layers: Sequence[Footprint], job: Job) -> KvBytes:
    total, token = row.view.length + len(row.suffix), shape.token_bytes
    most = [token * (total if w is None else min(total, w)) for w in shape.windows]  # a window holds no more
    untouched = token * (total + (job.left_out or 0))
    dense = sum(untouched if w is None else min(untouched, token * w) for w in shape.windows) + row.view.state_bytes
    own = len(row.suffix) * token
    stored, touched = (
        sum(
            size + own if w is None else min(size + own, top)
            for size, w, top in zip(sizes, shape.windows, most, strict=True)
        )
        for sizes in ([layer.stored for layer in layers], [layer.touched for layer in layers])
    )
    return KvBytes(
        dense=dense,
        nominal=round((sum(most) + row.view.state_bytes) * job.nominal_ratio(shape)),
        stored=stored + row.view.state_bytes,
        touched=touched + row.view.state_bytes,
        state=row.view.state_bytes,
    )
