"""Kept KV: what an eviction method left, with the position of every token that stayed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from scbench.kernels.choose import Kernels
from scbench.kernels.spec import Partial, Spec, Visible
from scbench.segments.base import Footprint, Segment


class KeptSegment(Segment):
    """Chosen tokens of a stretch of KV, the same number for every KV head.

    It still covers the logical positions [start, stop) of what it was made from: what was dropped is
    gone, and nothing else may be put in its place. `position_GL` holds the kept logical positions, ascending.
    """

    def __init__(self, start: int, stop: int, position_GL: Tensor, k_GLD: Tensor, v_GLD: Tensor) -> None:
        super().__init__(start)
        self._stop = stop
        self.position_GL = position_GL
        self.k_GLD = k_GLD
        self.v_GLD = v_GLD

    @property
    def stop(self) -> int:
        """One past the last logical position that it covers."""
        return self._stop

    def select(self, index_GK: Tensor) -> KeptSegment:
        """A copy of the tokens with these numbers (ascending per KV head), which covers the same stretch."""
        index_GKD = index_GK.unsqueeze(-1).expand(-1, -1, self.k_GLD.shape[-1])
        position_GK = self.position_GL.gather(1, index_GK)
        return KeptSegment(
            self.start, self._stop, position_GK, self.k_GLD.gather(1, index_GKD), self.v_GLD.gather(1, index_GKD)
        )

    def attend(self, q_GND: Tensor, visible: Visible, spec: Spec, kernels: Kernels) -> Partial:
        """All kept tokens; with a mask by position if some row does not see all of [start, stop)."""
        if self.k_GLD.shape[1] == 0:
            return Partial.nothing(q_GND)
        if visible.covers(self.start, self._stop):
            return kernels.full(q_GND, self.k_GLD, self.v_GLD, spec.scale)
        mask_GNL = _seen(self.position_GL, visible)
        return kernels.masked(q_GND, self.k_GLD, self.v_GLD, mask_GNL, spec.scale)

    def reads(self, q_GND: Tensor, visible: Visible) -> Tensor:
        """The kept tokens."""
        return self.holds().unsqueeze(1)

    def holds(self) -> Tensor:
        """The kept tokens."""
        place_GL = self.position_GL - self.start
        kept_GL = torch.zeros(len(place_GL), self._stop - self.start, dtype=torch.bool, device=place_GL.device)
        return kept_GL.scatter_(1, place_GL, True)

    def footprint(self, stop: int) -> Footprint:
        """Kept tokens below `stop`, and one 8-byte position for each; the positions are not read to decode."""
        kept = int((self.position_GL < stop).sum())
        heads, _, dim = self.k_GLD.shape
        data = 2 * kept * dim * self.k_GLD.element_size()
        return Footprint(kept / heads, data + kept * self.position_GL.element_size(), data)


class RaggedSegment(Segment):
    """Chosen tokens with a number of their own per KV head.

    `heads` are the KV heads' tokens, each a KeptSegment of one head. Where the query heads of a group chose for
    themselves, `mask_gL` of a head says which of its tokens (the union of their choices) each of them reads.
    """

    def __init__(self, heads: Sequence[KeptSegment], masks: Sequence[Tensor] | None = None) -> None:
        super().__init__(heads[0].start)
        self.heads = tuple(heads)
        self.masks = None if masks is None else tuple(masks)

    @property
    def stop(self) -> int:
        """One past the last logical position that it covers."""
        return self.heads[0].stop

    def attend(self, q_GND: Tensor, visible: Visible, spec: Spec, kernels: Kernels) -> Partial:
        """KV head by KV head."""
        parts = [
            self._attend(number, q_GND[number : number + 1], visible, spec, kernels) for number in range(len(q_GND))
        ]
        return Partial(torch.cat([part.out_GND for part in parts]), torch.cat([part.lse_GN for part in parts]))

    def reads(self, q_GND: Tensor, visible: Visible) -> Tensor:
        """Each head's own tokens, and of these each query head's."""
        parts = []
        for number, head in enumerate(self.heads):
            kept_1NL = head.reads(q_GND, visible).expand(1, q_GND.shape[1], -1).clone()
            if self.masks is not None:
                place_NK = (head.position_GL - self.start).expand(q_GND.shape[1], -1)
                kept_1NL[0].scatter_(1, place_NK, self.masks[number][visible.head_N])
            parts.append(kept_1NL)
        return torch.cat(parts)

    def holds(self) -> Tensor:
        """Each head's own tokens, whichever of its query heads reads them."""
        return torch.cat([head.holds() for head in self.heads])

    def footprint(self, stop: int) -> Footprint:
        """The sum over the KV heads; tokens are their mean. Masks are held as a byte per query head and token."""
        parts = [head.footprint(stop) for head in self.heads]
        tokens = sum(part.tokens for part in parts) / len(parts)
        masks = 0 if self.masks is None else sum(mask.numel() for mask in self.masks)
        return Footprint(tokens, sum(p.stored for p in parts) + masks, sum(p.touched for p in parts) + masks)

    def _attend(self, number: int, q_1ND: Tensor, visible: Visible, spec: Spec, kernels: Kernels) -> Partial:
        head = self.heads[number]
        if self.masks is None or head.k_GLD.shape[1] == 0:
            return head.attend(q_1ND, visible, spec, kernels)
        mask_NL = self.masks[number][visible.head_N]
        if not visible.covers(head.start, head.stop):
            mask_NL = mask_NL & _seen(head.position_GL, visible)[0]
        return kernels.masked(q_1ND, head.k_GLD, head.v_GLD, mask_NL.unsqueeze(0), spec.scale)


def _seen(position_GL: Tensor, visible: Visible) -> Tensor:
    position_G1L = position_GL.unsqueeze(1)
    return (position_G1L >= visible.lo_N[:, None]) & (position_G1L < visible.hi_N[:, None])
