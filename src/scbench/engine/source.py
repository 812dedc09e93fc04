"""The source: a trunk that is prefilled once, and from which every method's own trunk forks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from scbench.engine.answer import Deadline, Decoder
from scbench.engine.device import synchronise
from scbench.engine.memory import PeakMemory
from scbench.engine.trunk import Trunk
from scbench.methods.base import Base, Method
from scbench.modes import Layout


@dataclass(frozen=True)
class Plan:
    """A prefill that is not dense: the method that plans it, and what the plan depends on.

    `base` is the base's length, where it matters; `reused` the context, where its KV is put together.
    """

    method: Method
    base: int | None = None
    reused: Base | None = None


class Source:
    """The prefill that a group of jobs shares, dense or as a method plans it. Methods only read it.

    `seconds` is what it has taken so far, `precompute` what was put together from
    elsewhere took there, `kernels` those that ran, `peak` the highest memory use of that, if the system tells.
    """

    def __init__(self, decoder: Decoder, plan: Plan | None, queries: int, capacity: int) -> None:
        self.seconds = 0.0
        self.precompute = 0.0
        self.kernels: frozenset[str] = frozenset()
        self.peak: int | None = None
        self._decoder = decoder
        self._plan = plan
        self._queries = queries
        self.trunk = self._empty(capacity)

    def reach(self, layout: Layout, deadline: Deadline, report: Callable[[int, int], None]) -> None:
        """Grow, or go back, to exactly this layout's base."""
        began, memory = time.perf_counter(), PeakMemory(*self.trunk.shape.devices)
        self._decoder.kernels.taken()  # by others
        base = layout.trunk[: layout.base]
        common = _common_prefix(self.trunk.ids, base)
        needs_logits = any(branch.leaves == layout.base and not branch.suffix for branch in layout.branches)
        if common == len(base) and needs_logits and layout.base not in self.trunk.logits:
            common -= 1
        if common < self.trunk.length:  # the last queries before that place are gone: read them again
            common = max(0, common - self._queries)
        common = self.trunk.rollback_point(common)
        replanned = self._plan is not None and common < self.trunk.length  # a plan does not start in the middle
        if replanned or not self.trunk.rollback(common):
            self.trunk, common = self._empty(len(base)), 0
        if self._plan is None:
            self._extend(layout, common, len(base), deadline, report)
        elif self._plan.reused is not None:
            common = self._assemble(layout, common, self._plan.method, self._plan.reused, deadline, report)
            self._extend(layout, common, len(base), deadline, report)
        elif common < len(base):
            self._decoder.prefill(self.trunk, base[common:], self._plan.method, len(base), deadline, report)
            self.trunk.trim(_first_leave(layout))
        synchronise(*self.trunk.shape.devices)
        self.seconds += time.perf_counter() - began
        self.kernels |= self._decoder.kernels.taken()
        peak = memory.bytes()
        self.peak = peak if peak is None else max(peak, self.peak or 0)

    @property
    def planned(self) -> bool:
        """Whether a method plans this prefill; otherwise it is dense."""
        return self._plan is not None

    def mend(self) -> None:
        """Start anew if work that broke off may have left something half done."""
        if self.planned or self.trunk.states is not None or not self.trunk.consistent():
            self.trunk = self._empty(0)

    def _extend(
        self, layout: Layout, start: int, stop: int, deadline: Deadline, report: Callable[[int, int], None]
    ) -> None:
        for low, high in spans(layout, start, stop):
            ids, done = layout.trunk[low:high], lambda *_: report(self.trunk.length, stop)
            self._decoder.extend(self.trunk, ids, _first_leave(layout), deadline, done)

    def _assemble(
        self,
        layout: Layout,
        common: int,
        method: Method,
        reused: Base,
        deadline: Deadline,
        report: Callable[[int, int], None],
    ) -> int:
        """Put the context together, where it is not there yet; how much of the layout is there then."""
        if common >= reused.tokens:
            return common
        context = layout.trunk[: reused.tokens]
        before = self._decoder.assemble(self.trunk, context, method, reused, deadline, report)
        self.trunk.trim(_first_leave(layout))
        self.precompute += before
        self.seconds -= before  # of what `reach` counts, this was done ahead
        return reused.tokens

    def _empty(self, capacity: int) -> Trunk:
        return Trunk.empty(self._decoder.adapter.shape, capacity, self._queries)


def spans(layout: Layout, start: int, stop: int) -> list[tuple[int, int]]:
    """The stretches between `start` and `stop` that cross no point."""
    cuts = [start, *(point for point in layout.points if start < point < stop), stop]
    return [span for span in pairwise(cuts) if span[0] < span[1]]


def _first_leave(layout: Layout) -> int:
    return min(branch.leaves for branch in layout.branches)


def _common_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    for index, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return index
    return min(len(left), len(right))
