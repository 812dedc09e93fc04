"""Kept KV: what an eviction method left, with the position of every token that stayed."""

from __future__ import annotations

import torch
from torch import Tensor

from scbench.kernels.choose import Kernels
from scbench.kernels.spec import Partial, Spec, Visible
from scbench.segments.base import Footprint, Segment
from scbench.segments.dense import DenseSegment


class KeptSegment(Segment):
    """Chosen tokens of a dense segment, the same number for every KV head.

    It still covers the logical positions [start, stop) of the segment it was made from: what was dropped is
    gone, and nothing else may be put in its place. `position_GK` holds the kept logical positions, ascending.
    """

    def __init__(self, start: int, stop: int, position_GK: Tensor, k_GKD: Tensor, v_GKD: Tensor) -> None:
        super().__init__(start)
        self._stop = stop
        self.position_GK = position_GK
        self.k_GKD = k_GKD
        self.v_GKD = v_GKD

    @property
    def stop(self) -> int:
        """One past the last logical position that it covers."""
        return self._stop

    @classmethod
    def select(cls, dense: DenseSegment, position_GK: Tensor) -> KeptSegment:
        """Copy the tokens at the given logical positions (ascending per head) out of a dense segment."""
        index_GK1 = (position_GK - dense.start).unsqueeze(-1)
        dim = dense.k_GLD.shape[-1]
        k_GKD = dense.k_GLD.gather(1, index_GK1.expand(-1, -1, dim))
        v_GKD = dense.v_GLD.gather(1, index_GK1.expand(-1, -1, dim))
        return cls(dense.start, dense.stop, position_GK, k_GKD, v_GKD)

    def attend(self, q_GND: Tensor, visible: Visible, spec: Spec, kernels: Kernels) -> Partial:
        """All kept tokens; with a mask by position if some row does not see all of [start, stop)."""
        if visible.covers(self.start, self.stop):
            return kernels.full(q_GND, self.k_GKD, self.v_GKD, spec.scale)
        position_G1K = self.position_GK.unsqueeze(1)
        mask_GNK = (position_G1K >= visible.lo_N[:, None]) & (position_G1K < visible.hi_N[:, None])
        return kernels.masked(q_GND, self.k_GKD, self.v_GKD, mask_GNK, spec.scale)

    def footprint(self, stop: int) -> Footprint:
        """Kept tokens below `stop`, and one 8-byte position for each; the positions are not read to decode."""
        kept = int((self.position_GK < stop).sum())
        heads, _, dim = self.k_GKD.shape
        data = 2 * kept * dim * self.k_GKD.element_size()
        return Footprint(kept / heads, data + kept * self.position_GK.element_size(), data)


def positions(chosen: Tensor, heads: int) -> Tensor:
    """The same ascending positions `[K]` for every KV head: `[G, K]`."""
    return torch.sort(chosen).values.expand(heads, -1)
