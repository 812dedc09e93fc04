"""The last queries of every layer, for methods that look at them when they act."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scbench.methods.base import Queries

Seen = dict[int, tuple[Tensor, float]]  # per layer the queries q_HTD of new tokens, and their scale


@dataclass(frozen=True)
class Ring:
    """Per layer the last `width` queries that it has seen, and their scale; none for a width of 0.

    Rings are values: a fork of a trunk may keep one while the trunk goes on.
    """

    width: int
    layers: tuple[tuple[Tensor, float] | None, ...]
    stop: int = 0  # one past the last query's logical position

    @classmethod
    def empty(cls, layers: int, width: int) -> Ring:
        """Before the first token."""
        return cls(width, (None,) * layers)

    def after(self, seen: Seen, stop: int) -> Ring:
        """With the queries `q_HTD` of new tokens in every layer; the last one has logical position `stop` - 1."""
        if not self.width:
            return self
        return Ring(self.width, tuple(self._joined(layer, seen.get(layer)) for layer in range(len(self.layers))), stop)

    def queries(self, layer: int, width: int) -> Queries | None:
        """A layer's last `width` queries; None where there are none."""
        held = self.layers[layer]
        return None if held is None or not width else Queries(held[0][:, -width:], self.stop, held[1])

    def _joined(self, layer: int, new: tuple[Tensor, float] | None) -> tuple[Tensor, float] | None:
        held = self.layers[layer]
        if new is None:
            return held
        q_HTD, scale = new
        if held is not None:
            q_HTD = torch.cat([held[0], q_HTD[:, -self.width :]], dim=1)
        return q_HTD[:, -self.width :].clone(), scale
