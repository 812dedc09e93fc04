"""Random tokens: what a budget is worth without any choice."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch

from scbench.errors import ScbenchError
from scbench.methods.base import Base, Cache, Layer, Method, Queries
from scbench.methods.choosing import best
from scbench.segments.base import Segment


@dataclass(frozen=True)
class RandomTokens(Method):
    """A floor: `tokens` tokens per KV head that are drawn at random, beside those that every method keeps.

    At the end of the base each KV head of each layer keeps the protected tokens, the last `window` ones and uniformly
    drawn others, `tokens` in all. The draw depends on `seed`, layer and length only. A method that is no better than
    this has learned nothing of the context.

    Keys and values `[G, n, D]` become `[G, tokens, D]`. Memory O(tokens), prefill O(n²), decode O(tokens) per token.
    """

    uses_budget: ClassVar[bool] = True
    stages: ClassVar[tuple[str, ...]] = ("compression",)
    repeats: ClassVar[bool] = True

    tokens: int = 4096
    window: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        if self.tokens < 1 or self.window < 0:
            raise ScbenchError(f"random: tokens={self.tokens} must be >= 1, window={self.window} >= 0")

    def with_tokens(self, tokens: int) -> Self:
        """So many tokens; the window shrinks where it would be more than half of them."""
        return replace(self, tokens=tokens, window=min(self.window, tokens // 2))

    def lossless(self) -> Self:
        """More tokens than any base has."""
        return replace(self, tokens=2**40)

    def nominal(self, base: Base) -> float:
        """The tokens that stay."""
        return min(1.0, self.tokens / max(1, base.tokens))

    def idle(self, base: Base) -> bool:
        """The base is no longer than what is kept."""
        return self.tokens >= base.tokens

    def compress(self, cache: Cache, queries: Queries | None, layer: Layer, base: Base) -> Segment:
        """Draw."""
        generator = torch.Generator().manual_seed(_seed(self.seed, layer.index, base.tokens))
        heads, length = cache.position_GL.shape
        score_GL = torch.rand(heads, length, generator=generator).to(cache.position_GL.device)
        always_GL = torch.isin(cache.position_GL, base.protected_positions(score_GL.device))
        always_GL |= cache.position_GL >= base.tokens - self.window
        return cache.select(best(score_GL, always_GL, self.tokens))


def _seed(*numbers: int) -> int:
    """The same for the same numbers on every machine and in every Python."""
    return int.from_bytes(hashlib.sha256(repr(numbers).encode()).digest()[:7])
