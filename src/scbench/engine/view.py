"""What a branch sees: the cache as it was at its point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from scbench.engine.states import Snapshot
from scbench.segments.base import Footprint, Segment


@dataclass(frozen=True)
class View:
    """The first `length` tokens of a trunk: per layer the segments that hold them, and the logits after the last one.

    A segment may hold more, which a branch with this view never reads. `logits_V` is None where nothing is predicted
    from the trunk itself; `states` are those of layers that keep a state.
    """

    layers: tuple[tuple[Segment, ...], ...]
    length: int
    logits_V: Tensor | None = None
    states: Snapshot | None = None

    @property
    def state_bytes(self) -> int:
        """What its states cost."""
        return 0 if self.states is None else self.states.bytes

    def footprint(self, windows: Sequence[int | None], token_bytes: int) -> list[Footprint]:
        """Per layer, what it costs; `token_bytes` is the size of one dense token in one layer."""
        return [self._layer(layer, window, token_bytes) for layer, window in enumerate(windows)]

    def _layer(self, layer: int, window: int | None, token_bytes: int) -> Footprint:
        parts = [segment.footprint(self.length) for segment in self.layers[layer]]
        touched = sum(part.touched for part in parts)
        if window is not None:
            touched = min(touched, window * token_bytes)
        return Footprint(sum(part.tokens for part in parts), sum(part.stored for part in parts), touched)


@dataclass(frozen=True)
class Row:
    """One row of a batch: a branch that reads `suffix` over its view, then decodes up to `max_new_tokens`."""

    view: View
    suffix: tuple[int, ...]
    max_new_tokens: int
