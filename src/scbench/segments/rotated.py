"""Rotated KV: keys and values rounded token by token after a random rotation, at points."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from scbench.kernels import rotated
from scbench.kernels.choose import Kernels
from scbench.kernels.merge import merge
from scbench.kernels.rotated import Coded, Coder
from scbench.kernels.spec import Partial, Spec, Visible
from scbench.segments.base import Footprint, Segment
from scbench.segments.dense import DenseSegment

ELEMENTS = 1 << 18  # of keys, and of values, made float at once: 1 MiB each in float32


@dataclass(frozen=True)
class Coding:
    """How `keys` and `values` are rounded, and how many of the newest tokens are not."""

    keys: Coder
    values: Coder
    residual: int


class Block(Segment):
    """Tokens that were rounded at the same point.

    Attention is done among turned vectors: the queries are turned, keys and values are as they come from their codes,
    and the weighted sum is turned back.
    """

    def __init__(self, start: int, coding: Coding, keys: Coded, values: Coded) -> None:
        super().__init__(start)
        self.coding = coding
        self.keys = keys
        self.values = values

    @property
    def stop(self) -> int:
        """One past its last token."""
        return self.start + self.keys.tokens

    def attend(self, q_GND: Tensor, visible: Visible, spec: Spec, kernels: Kernels) -> Partial:
        """Every row reads everything: a branch has a segment of its own point."""
        if not visible.covers(self.start, self.stop):
            raise RuntimeError("a rotated segment is read as it was at its point, and not in part")
        turned_GND = rotated.turned(q_GND, self.coding.keys).to(q_GND.dtype)
        heads, rows, dim = q_GND.shape
        step = max(1, ELEMENTS // (heads * dim), rows)  # so all parts together are no larger than the keys
        parts = [
            kernels.full(turned_GND, *self._floats(start, start + step, q_GND, kernels), spec.scale)
            for start in range(0, self.keys.tokens, step)
        ]
        out_GND, lse_GN = merge(parts)
        return Partial(rotated.unturned(out_GND, self.coding.values).to(q_GND.dtype), lse_GN)

    def footprint(self, stop: int) -> Footprint:
        """Codes and norms of all its tokens; the rotation is one for a whole model, and not counted."""
        size = self.keys.bytes() + self.values.bytes()
        return Footprint(self.keys.tokens, size, size)

    def _floats(self, start: int, stop: int, like: Tensor, kernels: Kernels) -> tuple[Tensor, Tensor]:
        """Turned keys and values of some of its tokens."""
        k_GnD = rotated.decode(self.keys.part(start, stop), self.coding.keys, kernels.levels)
        v_GnD = rotated.decode(self.values.part(start, stop), self.coding.values, kernels.levels)
        return k_GnD.to(like.dtype), v_GnD.to(like.dtype)


class RotatedSegment(Segment):
    """All tokens from `start` on but the newest, rounded; those stay dense, outside.

    Blocks are shared between the segments of successive points.
    """

    def __init__(self, start: int, coding: Coding, blocks: tuple[Block, ...] = ()) -> None:
        super().__init__(start)
        self.coding = coding
        self.blocks = blocks

    @property
    def absorbs(self) -> bool:
        """New tokens are rounded too."""
        return True

    @property
    def stop(self) -> int:
        """One past the last rounded token."""
        return self.blocks[-1].stop if self.blocks else self.start

    def absorb(self, fresh: DenseSegment) -> RotatedSegment:
        """Round the new tokens but the newest."""
        first, last = self.stop - fresh.start, fresh.stop - self.coding.residual - fresh.start
        if last <= first:
            return RotatedSegment(self.start, self.coding, self.blocks)
        keys = rotated.encode(fresh.k_GLD[:, first:last], self.coding.keys)
        values = rotated.encode(fresh.v_GLD[:, first:last], self.coding.values)
        return RotatedSegment(self.start, self.coding, (*self.blocks, Block(self.stop, self.coding, keys, values)))

    def pieces(self) -> tuple[Segment, ...]:
        """Its blocks."""
        return self.blocks

    def attend(self, q_GND: Tensor, visible: Visible, spec: Spec, kernels: Kernels) -> Partial:
        """Block by block."""
        parts = [block.attend(q_GND, visible, spec, kernels) for block in self.blocks]
        return merge(parts) if parts else Partial.nothing(q_GND)

    def footprint(self, stop: int) -> Footprint:
        """That of its blocks."""
        size = sum(block.footprint(stop).stored for block in self.blocks)
        return Footprint(self.stop - self.start, size, size)
