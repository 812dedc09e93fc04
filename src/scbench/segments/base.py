"""What every form of cached KV can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from scbench.kernels.choose import Kernels
from scbench.kernels.spec import Partial, Spec, Visible

if TYPE_CHECKING:
    from scbench.segments.dense import DenseSegment


@dataclass(frozen=True)
class Footprint:
    """What a segment costs: kept tokens (mean over KV heads), resident bytes, bytes that one token reads."""

    tokens: float
    stored: int
    touched: int


class Segment(ABC):
    """A stretch of cached KV that covers the logical positions [start, stop) and attends to itself.

    A logical position is a token's place in the prompt; where it lies in storage is the segment's own matter.
    """

    def __init__(self, start: int) -> None:
        self.start = start

    @property
    def absorbs(self) -> bool:
        """Whether this form takes over new tokens at points."""
        return False

    @property
    @abstractmethod
    def stop(self) -> int:
        """One past the last logical position."""

    @abstractmethod
    def attend(self, q_GND: Tensor, visible: Visible, spec: Spec, kernels: Kernels) -> Partial:
        """Partial attention of the rows over this segment's visible tokens."""

    @abstractmethod
    def footprint(self, stop: int) -> Footprint:
        """Cost of the part below logical position `stop`."""

    def pieces(self) -> tuple[Segment, ...]:
        """The segments of which it is the sum, or itself: a batch reads a piece that several views share only once."""
        return (self,)

    def reads(self, q_GND: Tensor, visible: Visible) -> Tensor:
        """Which of the positions [start, stop) the rows would read: `[G, N, L]`, or 1 for G or N that are alike.

        Everything, unless a form says otherwise. For diagnostics.
        """
        return torch.ones(1, 1, self.stop - self.start, dtype=torch.bool, device=q_GND.device)

    def holds(self) -> Tensor:
        """Which of the positions [start, stop) are there to be read, by any query: `[G, L]`, or 1 for G that are alike.

        Everything, unless a form says otherwise.
        """
        return torch.ones(1, self.stop - self.start, dtype=torch.bool)

    def absorb(self, fresh: DenseSegment) -> Segment:
        """This segment with as many of the dense tokens behind it as its form can hold, at a point.

        The result is a new segment, since earlier turns go on reading this one; the caller keeps the tokens from the
        result's `stop` on dense. Called only where `absorbs` is true.
        """
        raise TypeError(f"{type(self).__name__} does not take over tokens")
