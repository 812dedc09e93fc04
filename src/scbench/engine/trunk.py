"""The trunk: a session's shared tokens as segments per layer, with forks by reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from scbench.engine.adapter import Shape
from scbench.engine.ring import Ring, Seen
from scbench.engine.states import Snapshot, States
from scbench.engine.view import View
from scbench.methods.base import Cache
from scbench.segments.base import Segment
from scbench.segments.dense import DenseSegment
from scbench.segments.kept import KeptSegment


class Trunk:
    """Cached KV of `length` tokens: per layer a list of disjoint segments, the last of them open for more.

    `ids` are the tokens themselves; `logits[p]` (`[V]`) are the model's logits after the token before position
    p, kept where a chunk ended. A fork shares every segment by reference. Layers that keep a state instead have it in
    `states`, which every forward pass moves on, and a snapshot of it at the end of every span.
    """

    def __init__(
        self, shape: Shape, ids: Sequence[int], sealed: list[list[Segment]], opened: list[DenseSegment]
    ) -> None:
        self.shape = shape
        self.ids = list(ids)
        self.logits: dict[int, Tensor] = {}
        self.ring = Ring.empty(shape.layers, 0)
        self.computed: dict[int, float] = {}  # causal entries of the tokens that were planned, per layer
        self.planned = 0
        self.states: States | None = States.stack([Snapshot()]) if shape.states else None
        self._snapshots = {0: Snapshot()}
        self._sealed = sealed
        self._open = opened
        self._marks: dict[int, dict[int, tuple[Segment, ...]]] = {}

    @classmethod
    def empty(cls, shape: Shape, capacity: int = 0, queries: int = 0) -> Trunk:
        """A trunk without tokens, with room for `capacity` of them, that remembers its last `queries` queries."""
        trunk = cls(shape, (), [[] for _ in shape.windows], _open_segments(shape, 0, capacity))
        trunk.ring = Ring.empty(shape.layers, queries)
        return trunk

    def density(self, length: int) -> tuple[float, ...]:
        """Per layer the share of the causal entries of the first `length` tokens that were computed.

        Empty for a dense prefill; what comes behind a planned one is dense.
        """
        if not self.computed:
            return ()
        planned, entries = (tokens * (tokens + 1) / 2 for tokens in (self.planned, length))
        layers = range(self.shape.layers)
        return tuple((self.computed.get(layer, planned) + entries - planned) / entries for layer in layers)

    @property
    def length(self) -> int:
        """Number of tokens."""
        return len(self.ids)

    def segments(self, layer: int) -> list[Segment]:
        """The layer's segments that hold tokens, in order of position."""
        opened = self._open[layer]
        return [*self._sealed[layer], *([opened] if opened.stop > opened.start else [])]

    def view(self, length: int) -> View:
        """What a branch that leaves at position `length` sees: its segments as marked there, or as they are."""
        marked = self._marks.get(length, {})
        layers = tuple(marked.get(layer) or tuple(self.segments(layer)) for layer in range(self.shape.layers))
        return View(layers, length, self.logits.get(length), self._snapshots.get(length))

    def mark(self) -> None:
        """Keep the view of this point, in the layers whose segments may be others later."""
        self._marks[self.length] = {
            layer: tuple(self.segments(layer)) for layer, window in enumerate(self.shape.windows) if window is None
        }

    def append(self, ids: Sequence[int], layers: Sequence[tuple[Tensor, Tensor]], logits_V: Tensor, seen: Seen) -> None:
        """Add a span: its tokens, per layer its (k_GTD, v_GTD), the logits after its last token, and its queries."""
        for opened, (k_GTD, v_GTD) in zip(self._open, layers, strict=True):
            opened.append(k_GTD, v_GTD)
        self.advance(ids, logits_V, seen, {})

    def keep_states(self) -> None:
        """At the end of a span: a snapshot of the states, from which forks and branches go on."""
        if self.states is not None:
            self._snapshots[self.length] = self.states.snapshot()

    def rollback_point(self, position: int) -> int:
        """The last place at or before `position` to which the trunk can go back: states cannot be cropped."""
        if self.states is None:
            return position
        return max(at for at in self._snapshots if at <= position)

    def advance(self, ids: Sequence[int], logits_V: Tensor, seen: Seen, computed: Mapping[int, float]) -> None:
        """The same for tokens whose keys and values are there; `computed` are causal entries per layer, if not all."""
        self.planned += len(ids) if computed else 0
        for layer, entries in computed.items():
            self.computed[layer] = self.computed.get(layer, 0.0) + entries
        self.ids.extend(ids)
        self.logits[self.length] = logits_V
        self.ring = self.ring.after(seen, self.length)

    def fork(self) -> Trunk:
        """A trunk with the same past and an own future. Nothing is copied."""
        sealed = [[*self._sealed[layer], *self._shared_open(layer)] for layer in range(self.shape.layers)]
        fork = Trunk(self.shape, self.ids, sealed, _open_segments(self.shape, self.length, 0))
        fork.logits = dict(self.logits)
        fork.ring, fork.computed, fork.planned = self.ring, self.computed, self.planned
        if self.states is not None:
            fork._snapshots = dict(self._snapshots)
            fork.states = States.stack([self._snapshots[self.length]])
        return fork

    def cache(self, layer: int) -> Cache:
        """All of the layer's tokens as one, for a method to act on; without a copy where they are one segment."""
        segments = self.segments(layer)
        if len(segments) == 1 and isinstance(segments[0], DenseSegment | KeptSegment):
            return segments[0]
        parts = [segment for segment in segments if isinstance(segment, DenseSegment | KeptSegment)]
        if not parts or len(parts) < len(segments):
            raise RuntimeError(f"layer {layer}: {type(segments[0]).__name__} cannot be compressed again")
        return KeptSegment(
            parts[0].start,
            parts[-1].stop,
            torch.cat([part.position_GL for part in parts], dim=1),
            torch.cat([part.k_GLD for part in parts], dim=1),
            torch.cat([part.v_GLD for part in parts], dim=1),
        )

    def latest(self, layer: int) -> DenseSegment:
        """The layer's tokens since the last point at which something was put in their place."""
        return self._open[layer]

    def latest_start(self) -> int:
        """Where the tokens since the last point begin, in the layers on which methods act."""
        starts = [self._open[n].start for n, window in enumerate(self.shape.windows) if window is None]
        return min(starts, default=self.length)

    def replace(self, layer: int, segment: Segment) -> None:
        """Put what a method made of all the layer's tokens in their place; what it does not cover stays dense."""
        rest = _open_segment(self.shape, layer, self.length)
        if segment.stop < self.length:
            dense = self.segments(layer)[-1]
            if not isinstance(dense, DenseSegment):
                raise RuntimeError(f"layer {layer}: {type(segment).__name__} leaves tokens that are not dense any more")
            rest = dense.since(segment.stop)
        self._sealed[layer], self._open[layer] = [segment], rest

    def seal(self, layer: int, segment: Segment) -> None:
        """Put what a method made of the layer's latest tokens in their place."""
        self._sealed[layer].append(segment)
        self._open[layer] = _open_segment(self.shape, layer, self.length)

    def settle(self) -> None:
        """At a point: let segments that take over new tokens do so."""
        for layer in range(self.shape.layers):
            match self.segments(layer):
                case [first, *rest] if first.absorbs and rest:
                    fresh = _joined([segment for segment in rest if isinstance(segment, DenseSegment)])
                    made = first.absorb(fresh)
                    self._sealed[layer] = [made]
                    self._open[layer] = fresh.since(made.stop)

    @property
    def absorbs(self) -> bool:
        """Whether some segment takes over new tokens at points."""
        return any(segment.absorbs for segments in self._sealed for segment in segments)

    def consistent(self) -> bool:
        """Whether every layer holds exactly the trunk's tokens."""
        return all(opened.stop == self.length for opened in self._open)

    def rollback(self, position: int) -> bool:
        """Drop the tokens at and after `position`; False, and no change, if a window has let go of what is needed."""
        if not all(self._can_roll_back(layer, position) for layer in range(self.shape.layers)):
            return False
        if self.states is not None and position < self.length:
            self._snapshots = {at: states for at, states in self._snapshots.items() if at <= position}
            self.states = States.stack([self._snapshots[position]])
        for opened in self._open:
            opened.truncate(position)
        del self.ids[position:]
        self.logits = {at: logits for at, logits in self.logits.items() if at <= position}
        return True

    def trim(self, leave: int) -> None:
        """Let sliding-window layers forget what no token at or after position `leave` can see."""
        for layer, window in enumerate(self.shape.windows):
            if window is None:
                continue
            keep = max(0, min(leave, self.length) - window)  # one more, so that the last token can be read again
            if self._open[layer].start + window < keep:  # only when it frees more than it costs
                self._open[layer] = self._open[layer].since(keep)

    def _can_roll_back(self, layer: int, position: int) -> bool:
        opened, window = self._open[layer], self.shape.windows[layer]
        if window is None or opened.start == 0:
            return position >= opened.start
        return position - window + 1 >= opened.start

    def _shared_open(self, layer: int) -> list[Segment]:
        opened = self._open[layer]
        return [opened.shared()] if opened.stop > opened.start else []


def _open_segments(shape: Shape, start: int, capacity: int) -> list[DenseSegment]:
    return [_open_segment(shape, layer, start, capacity) for layer in range(shape.layers)]


def _open_segment(shape: Shape, layer: int, start: int, capacity: int = 0) -> DenseSegment:
    like_GLD = torch.empty(shape.kv_heads, 0, shape.head_dim, dtype=shape.dtype, device=shape.homes[layer])
    return DenseSegment.empty(start, like_GLD, capacity)


def _joined(parts: Sequence[DenseSegment]) -> DenseSegment:
    if len(parts) == 1:
        return parts[0]
    k_GLD = torch.cat([part.k_GLD for part in parts], dim=1)
    return DenseSegment(parts[0].start, k_GLD, torch.cat([part.v_GLD for part in parts], dim=1))
