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


@dataclass(frozen=True)
class Block:
    """Tokens that were rounded at the same point."""

    keys: Coded
    values: Coded


class RotatedSegment(Segment):
    """All tokens from `start` on but the newest, rounded; those stay dense, outside.

    Attention is done among turned vectors: the queries are turned, keys and values are as they come from their codes,
    and the weighted sum is turned back. Blocks are shared between the segments of successive points.
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
        return self.start + sum(block.keys.tokens for block in self.blocks)

    def absorb(self, fresh: DenseSegment) -> RotatedSegment:
        """Round the new tokens but the newest."""
        first, last = self.stop - fresh.start, fresh.stop - self.coding.residual - fresh.start
        if last <= first:
            return RotatedSegment(self.start, self.coding, self.blocks)
        keys = rotated.encode(fresh.k_GLD[:, first:last], self.coding.keys)
        values = rotated.encode(fresh.v_GLD[:, first:last], self.coding.values)
        return RotatedSegment(self.start, self.coding, (*self.blocks, Block(keys, values)))

    def attend(self, q_GND: Tensor, visible: Visible, spec: Spec, kernels: Kernels) -> Partial:
        """Every row reads everything: a branch has a segment of its own point."""
        if not self.blocks:
            return Partial.nothing(q_GND)
        if not visible.covers(self.start, self.stop):
            raise RuntimeError("a rotated segment is read as it was at its point, and not in part")
        turned_GND = rotated.turned(q_GND, self.coding.keys).to(q_GND.dtype)
        heads, rows, dim = q_GND.shape
        step = max(1, ELEMENTS // (heads * dim), rows)  # so all parts together are no larger than the keys
        parts = [
            kernels.full(turned_GND, *self._floats(block, start, start + step, q_GND, kernels), spec.scale)
            for block in self.blocks
            for start in range(0, block.keys.tokens, step)
        ]
        out_GND, lse_GN = merge(parts)
        return Partial(rotated.unturned(out_GND, self.coding.values).to(q_GND.dtype), lse_GN)

    def footprint(self, stop: int) -> Footprint:
        """Codes and norms of all its tokens; the rotation is one for a whole model, and not counted."""
        size = sum(block.keys.bytes() + block.values.bytes() for block in self.blocks)
        return Footprint(self.stop - self.start, size, size)

    def _floats(self, block: Block, start: int, stop: int, like: Tensor, kernels: Kernels) -> tuple[Tensor, Tensor]:
        """Turned keys and values of some of a block's tokens."""
        k_GnD = rotated.decode(block.keys.part(start, stop), self.coding.keys, kernels.levels)
        v_GnD = rotated.decode(block.values.part(start, stop), self.coding.values, kernels.levels)
        return k_GnD.to(like.dtype), v_GnD.to(like.dtype)
