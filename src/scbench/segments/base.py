"""What every form of cached KV can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from scbench.kernels.choose import Kernels
from scbench.kernels.spec import Partial, Spec, Visible


@dataclass(frozen=True)
class Footprint:
    """What a segment costs: kept tokens (mean over KV heads), resident bytes, bytes that one token reads."""

    tokens: float
    stored: int
    touched: int


class Segment(Protocol):
    """A stretch of cached KV that covers the logical positions [start, stop) and attends to itself.

    A logical position is a token's place in the prompt; where it lies in storage is the segment's own matter.
    """

    @property
    def start(self) -> int:
        """First logical position."""

    @property
    def stop(self) -> int:
        """One past the last logical position."""

    def attend(self, q_GND: Tensor, visible: Visible, spec: Spec, kernels: Kernels) -> Partial:
        """Partial attention of the rows over this segment's visible tokens."""

    def footprint(self, stop: int) -> Footprint:
        """Cost of the part below logical position `stop`."""
