"""Dense KV: every token, at KV-head size, in one buffer that grows at its end."""

from __future__ import annotations

import torch
from torch import Tensor

from scbench.kernels.choose import Kernels
from scbench.kernels.merge import merge
from scbench.kernels.spec import Partial, Spec, Visible
from scbench.segments.base import Footprint, Segment
from scbench.segments.kept import KeptSegment

SHORT = 512  # tokens: one pass under a mask takes less time than a pass for what all rows see and one for the rest


class DenseSegment(Segment):
    """Keys and values `[G, L, D]` of the logical positions [start, start + L).

    Appending reuses the buffer's free room and grows it by half when it is full, so that a prefill in chunks
    copies each token a constant number of times. `shared` gives a fork the same storage; what a fork can see
    is never overwritten. Forks from several points have the pieces between these points in common. `truncate` drops
    a tail.
    """

    def __init__(self, start: int, k_GLD: Tensor, v_GLD: Tensor) -> None:
        super().__init__(start)
        self._k_GCD = k_GLD
        self._v_GCD = v_GLD
        self._length = k_GLD.shape[1]
        self._shared = 0  # how many leading tokens a fork may be reading
        self._pieces: tuple[DenseSegment, ...] = ()  # these tokens, cut where forks were made

    @classmethod
    def empty(cls, start: int, like_GLD: Tensor, capacity: int = 0) -> DenseSegment:
        """A segment without tokens, with room for `capacity` of them, shaped like other keys."""
        heads, _, dim = like_GLD.shape
        segment = cls(start, like_GLD.new_empty(heads, capacity, dim), like_GLD.new_empty(heads, capacity, dim))
        segment._length = 0
        return segment

    @property
    def stop(self) -> int:
        """One past the last logical position."""
        return self.start + self._length

    @property
    def k_GLD(self) -> Tensor:
        """The keys, in order of position."""
        return self._k_GCD[:, : self._length]

    @property
    def v_GLD(self) -> Tensor:
        """The values, in order of position."""
        return self._v_GCD[:, : self._length]

    @property
    def position_GL(self) -> Tensor:
        """The logical positions, the same for every KV head."""
        place_L = torch.arange(self.start, self.stop, device=self._k_GCD.device)
        return place_L.expand(self._k_GCD.shape[0], -1)

    def select(self, index_GK: Tensor) -> KeptSegment:
        """A copy of the tokens with these numbers (ascending per KV head), which covers the same stretch."""
        return KeptSegment(self.start, self.stop, self.position_GL, self.k_GLD, self.v_GLD).select(index_GK)

    def append(self, k_GTD: Tensor, v_GTD: Tensor) -> None:
        """Add tokens at the end."""
        needed = self._length + k_GTD.shape[1]
        if needed > self._k_GCD.shape[1]:
            capacity = max(needed, self._k_GCD.shape[1] * 3 // 2)
            self._k_GCD, self._v_GCD = _grown(self.k_GLD, capacity), _grown(self.v_GLD, capacity)
            self._pieces = ()  # they would keep the old buffer
        self._k_GCD[:, self._length : needed] = k_GTD
        self._v_GCD[:, self._length : needed] = v_GTD
        self._length = needed

    def put(self, position_T: Tensor, k_GTD: Tensor, v_GTD: Tensor) -> None:
        """Other keys and values at these logical positions; only while no fork reads them."""
        if self._shared:
            raise RuntimeError("tokens that a fork may be reading are not changed")
        place_T = position_T - self.start
        self._k_GCD[:, place_T], self._v_GCD[:, place_T] = k_GTD, v_GTD

    def truncate(self, stop: int) -> None:
        """Forget the tokens at and after logical position `stop`."""
        self._length = min(self._length, max(0, stop - self.start))
        if self._length < self._shared:  # the next append would write over what a fork reads
            self._k_GCD, self._v_GCD = self.k_GLD.clone(), self.v_GLD.clone()
            self._shared, self._pieces = 0, ()

    def shared(self) -> DenseSegment:
        """The tokens so far as a segment of its own, over the same storage."""
        self._shared = max(self._shared, self._length)
        at = self._pieces[-1].stop if self._pieces else self.start
        if at < self.stop:
            self._pieces = (*self._pieces, self._fork(at, ()))
        return self._fork(self.start, self._pieces)

    def pieces(self) -> tuple[Segment, ...]:
        """Its tokens, cut where forks were made, or itself if there were none or it has grown since."""
        return self._pieces if self._pieces and self._pieces[-1].stop == self.stop else (self,)

    def since(self, start: int) -> DenseSegment:
        """A copy of the tokens from logical position `start` on; this segment stays as it is."""
        skip = max(0, start - self.start)
        return DenseSegment(self.start + skip, self.k_GLD[:, skip:].clone(), self.v_GLD[:, skip:].clone())

    def attend(self, q_GND: Tensor, visible: Visible, spec: Spec, kernels: Kernels) -> Partial:
        """The keys that all rows see without a mask; the rest on either side with one; merged."""
        low, high = self._inside(visible.lo_min), self._inside(visible.hi_max)
        if low >= high:
            return Partial.nothing(q_GND)
        common_low, common_high = self._inside(visible.lo_max), self._inside(visible.hi_min)
        ragged = low < common_low or common_high < high
        if common_low >= common_high or (ragged and high - low <= SHORT):
            return self._masked(q_GND, visible, spec, kernels, low, high)
        parts = [self._unmasked(q_GND, spec, kernels, common_low, common_high)]
        if low < common_low:
            parts.append(self._masked(q_GND, visible, spec, kernels, low, common_low))
        if common_high < high:
            parts.append(self._masked(q_GND, visible, spec, kernels, common_high, high))
        return merge(parts)

    def keys(self, stop: int) -> Tensor:
        """The keys below logical position `stop`."""
        return self._k_GCD[:, : self._inside(stop) - self.start]

    def footprint(self, stop: int) -> Footprint:
        """Cost of the part below logical position `stop`; a decoded token reads all of it."""
        tokens = self._inside(stop) - self.start
        heads, _, dim = self._k_GCD.shape
        size = 2 * heads * tokens * dim * self._k_GCD.element_size()
        return Footprint(tokens, size, size)

    def _fork(self, start: int, pieces: tuple[DenseSegment, ...]) -> DenseSegment:
        skip = start - self.start
        fork = DenseSegment(start, self.k_GLD[:, skip:], self.v_GLD[:, skip:])
        fork._shared, fork._pieces = fork._length, pieces
        return fork

    def _inside(self, position: int) -> int:
        return min(max(position, self.start), self.stop)

    def _unmasked(self, q_GND: Tensor, spec: Spec, kernels: Kernels, low: int, high: int) -> Partial:
        part = slice(low - self.start, high - self.start)
        return kernels.full(q_GND, self._k_GCD[:, part], self._v_GCD[:, part], spec.scale)

    def _masked(self, q_GND: Tensor, visible: Visible, spec: Spec, kernels: Kernels, low: int, high: int) -> Partial:
        part = slice(low - self.start, high - self.start)
        position_L = torch.arange(low, high, device=q_GND.device)
        mask_NL = (position_L >= visible.lo_N[:, None]) & (position_L < visible.hi_N[:, None])
        return kernels.masked(q_GND, self._k_GCD[:, part], self._v_GCD[:, part], mask_NL.unsqueeze(0), spec.scale)


def _grown(kept_GLD: Tensor, capacity: int) -> Tensor:
    heads, length, dim = kept_GLD.shape
    buffer_GCD = kept_GLD.new_empty(heads, capacity, dim)
    buffer_GCD[:, :length] = kept_GLD
    return buffer_GCD
