"""EPIC: KV of chunks that were read apart, with the first tokens of each computed again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from torch import Tensor

from scbench.errors import ScbenchError
from scbench.methods.base import Base, Deviation, Method


@dataclass(frozen=True)
class Epic(Method):
    """Position-independent reuse of KV with a static choice (arXiv 2410.15332, LegoLink).

    As CacheBlend, but the first `first` tokens of every chunk after the first are computed again, whatever they hold:
    alone in their chunk they drew attention as sinks do, and here they are none.

    Keys and values are `[G, n, D]` per layer. The chunks are computed ahead (`precompute`); prefill then costs about
    `first`/`chunk` of a dense one. Memory O(n), decode O(n) per token.
    """

    family_key: ClassVar[str] = "epic"
    stages: ClassVar[tuple[str, ...]] = ("retrieval",)

    chunk: int = 256
    first: int = 32

    def __post_init__(self) -> None:
        if self.chunk < 1 or self.first < 0:
            raise ScbenchError(f"epic: chunk={self.chunk} must be >= 1 and first={self.first} >= 0")

    def lossless(self) -> Self:
        """Everything is computed again."""
        return replace(self, first=self.chunk)

    def idle(self, base: Base) -> bool:
        """There is one chunk."""
        return self.chunk >= base.tokens

    def reuse(self, base: Base) -> tuple[int, ...]:
        """A cut every `chunk` tokens."""
        return tuple(range(self.chunk, base.tokens, self.chunk))

    def recompute(self, cuts: tuple[int, ...], deviation: Deviation | None, base: Base) -> Tensor:
        """The first tokens of every chunk but the first."""
        first = [torch.arange(cut, min(cut + min(self.first, self.chunk), base.tokens)) for cut in cuts]
        return torch.cat(first) if first else torch.empty(0, dtype=torch.long)
