"""What a KV-cache method is: a frozen dataclass with hooks at the stages where it acts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import torch

from scbench.segments.base import Segment
from scbench.segments.dense import DenseSegment


@dataclass(frozen=True)
class Base:
    """What a method may know of the base when it acts at its end.

    `tokens` is the base's length; `protected` are the intervals [start, stop) of chat template and system
    text inside it, which every method keeps and counts in its budget.
    """

    tokens: int
    protected: tuple[tuple[int, int], ...] = ()

    def protected_positions(self, device: torch.device) -> torch.Tensor:
        """The protected logical positions, ascending."""
        spans = [torch.arange(start, min(stop, self.tokens), device=device) for start, stop in self.protected]
        return torch.cat(spans) if spans else torch.empty(0, dtype=torch.long, device=device)


@dataclass(frozen=True)
class Layer:
    """The layer on which a hook is called: its number among all layers, and how many there are."""

    index: int
    count: int


@dataclass(frozen=True)
class Method:
    """A method that does nothing: the dense cache. Others override the hooks of the stages where they act.

    Class attributes declare what the rest of the system must know without running it:
    `uses_budget` whether the shared budget changes anything (if not, one cell stands for all budgets);
    `family_key` which prefill the method needs (methods with the same key share it);
    `stages` at which of the four KV stages it acts;
    `observes` whether it looks at queries when it acts.
    """

    uses_budget: ClassVar[bool] = False
    family_key: ClassVar[str] = "dense"
    stages: ClassVar[tuple[str, ...]] = ()
    observes: ClassVar[bool] = False

    def with_tokens(self, tokens: int) -> Self:
        """The same method with its parameters set so that it keeps at most `tokens` tokens per layer."""
        return self

    def lossless(self) -> Self:
        """The setting with which the method must equal the dense cache, token for token."""
        return self

    def idle(self, base: Base) -> bool:
        """Whether the method has nothing to do on this base (its budget covers it): the outcome is `noop`."""
        return False

    def compress(self, segment: DenseSegment, layer: Layer, base: Base) -> Segment:
        """Another form of a full-attention layer's base KV, made at the end of the base.

        Called once per full-attention layer if "compression" is among the stages and the method is not idle;
        it must return a new segment. Sliding-window layers keep their window.
        """
        raise TypeError(f"{type(self).__name__} declares the compression stage but has no compress()")
