"""The trunk: a session's shared tokens as segments per layer, with forks by reference."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from scbench.engine.adapter import Shape
from scbench.engine.view import View
from scbench.segments.base import Footprint, Segment
from scbench.segments.dense import DenseSegment


class Trunk:
    """Cached KV of `length` tokens: per layer a list of disjoint segments, the last of them open for more.

    `ids` are the tokens themselves; `logits[p]` (`[V]`) are the model's logits after the token before position
    p, kept where a span ended. A fork shares every segment by reference.
    """

    def __init__(
        self, shape: Shape, ids: Sequence[int], sealed: list[list[Segment]], opened: list[DenseSegment]
    ) -> None:
        self.shape = shape
        self.ids = list(ids)
        self.logits: dict[int, Tensor] = {}
        self._sealed = sealed
        self._open = opened

    @classmethod
    def empty(cls, shape: Shape, capacity: int = 0) -> Trunk:
        """A trunk without tokens, with room for `capacity` of them."""
        return cls(shape, (), [[] for _ in shape.windows], _open_segments(shape, 0, capacity))

    @property
    def length(self) -> int:
        """Number of tokens."""
        return len(self.ids)

    def segments(self, layer: int) -> list[Segment]:
        """The layer's segments that hold tokens, in order of position."""
        opened = self._open[layer]
        return [*self._sealed[layer], *([opened] if opened.stop > opened.start else [])]

    def view(self, length: int) -> View:
        """What a branch that leaves at position `length` sees."""
        layers = tuple(tuple(self.segments(layer)) for layer in range(self.shape.layers))
        return View(layers, length, self.logits.get(length))

    def append(self, ids: Sequence[int], layers: Sequence[tuple[Tensor, Tensor]], logits_V: Tensor) -> None:
        """Add a span: its tokens, per layer its (k_GTD, v_GTD), and the logits after its last token."""
        for opened, (k_GTD, v_GTD) in zip(self._open, layers, strict=True):
            opened.append(k_GTD, v_GTD)
        self.ids.extend(ids)
        self.logits[self.length] = logits_V

    def fork(self) -> Trunk:
        """A trunk with the same past and an own future. Nothing is copied."""
        sealed = [[*self._sealed[layer], *self._shared_open(layer)] for layer in range(self.shape.layers)]
        fork = Trunk(self.shape, self.ids, sealed, _open_segments(self.shape, self.length, 0))
        fork.logits = dict(self.logits)
        return fork

    def past(self, layer: int) -> DenseSegment:
        """The layer's tokens from before the fork, as the dense segment that a method acts on."""
        match self._sealed[layer]:
            case [DenseSegment() as dense]:
                return dense
        raise RuntimeError(f"layer {layer}: its past is not one dense segment")

    def replace(self, layer: int, segment: Segment) -> None:
        """Put what a method made of the layer's past in its place."""
        self._sealed[layer] = [segment]

    def consistent(self) -> bool:
        """Whether every layer holds exactly the trunk's tokens."""
        return all(opened.stop == self.length for opened in self._open)

    def rollback(self, position: int) -> bool:
        """Drop the tokens at and after `position`; False, and no change, if a window has let go of what is needed."""
        if not all(self._can_roll_back(layer, position) for layer in range(self.shape.layers)):
            return False
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
            keep = max(0, min(leave, self.length) - window + 1)
            if self._open[layer].start + window < keep:  # only when it frees more than it costs
                self._open[layer] = self._open[layer].since(keep)

    def footprint(self, stop: int) -> list[Footprint]:
        """Per layer, the cost of what a branch that leaves at `stop` sees of the trunk."""
        return [self._layer_footprint(layer, stop) for layer in range(self.shape.layers)]

    def _layer_footprint(self, layer: int, stop: int) -> Footprint:
        parts = [segment.footprint(stop) for segment in self.segments(layer)]
        tokens, stored = sum(p.tokens for p in parts), sum(p.stored for p in parts)
        touched = sum(p.touched for p in parts)
        window = self.shape.windows[layer]
        if window is not None:
            touched = min(touched, window * self.shape.token_bytes)
        return Footprint(tokens, stored, touched)

    def _can_roll_back(self, layer: int, position: int) -> bool:
        opened, window = self._open[layer], self.shape.windows[layer]
        if window is None or opened.start == 0:
            return position >= opened.start
        return position - window + 1 >= opened.start

    def _shared_open(self, layer: int) -> list[Segment]:
        opened = self._open[layer]
        return [opened.shared()] if opened.stop > opened.start else []


def _open_segments(shape: Shape, start: int, capacity: int) -> list[DenseSegment]:
    like_GLD = torch.empty(shape.kv_heads, 0, shape.head_dim, dtype=shape.dtype, device=shape.device)
    return [DenseSegment.empty(start, like_GLD, capacity) for _ in shape.windows]
