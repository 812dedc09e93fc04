"""StreamingLLM: keep the first tokens and the most recent ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch

from scbench.errors import ScbenchError
from scbench.methods.base import Base, Cache, Layer, Method, Queries
from scbench.methods.choosing import held
from scbench.segments.base import Segment


@dataclass(frozen=True)
class StreamingLLM(Method):
    """Attention sinks and a recent window (arXiv 2309.17453, §3.2), applied once, at the end of the base.

    After a dense prefill, the first `sinks` and the last `window` tokens of the base stay, the same for every
    KV head and layer, at their original positions (the paper re-numbers positions inside the cache; SCBench
    does not). Tokens that come later are appended and never dropped. Protected tokens (chat template, system
    text) always stay, unless `protect=false`; they count, so the window shrinks by those that lie outside sinks and
    window.

    Keys and values `[G, n, D]` become `[G, sinks + window, D]`. Memory O(sinks + window), prefill O(n²), decode O(sinks
    + window) per token. The defaults are those of SCBench's code (128 + 3968 = 4096 tokens). A budget keeps their
    proportion.
    """

    uses_budget: ClassVar[bool] = True
    stages: ClassVar[tuple[str, ...]] = ("compression",)
    repeats: ClassVar[bool] = True

    sinks: int = 128
    window: int = 3968
    protect: bool = True

    def __post_init__(self) -> None:
        if self.sinks < 0 or self.window < 1:
            raise ScbenchError(
                f"streaming_llm: sinks={self.sinks}, window={self.window}: sinks must be >= 0 and window >= 1"
            )

    def with_tokens(self, tokens: int) -> Self:
        """Sinks and window in their proportion, `tokens` together; at least one recent token stays."""
        sinks = min(self.sinks * tokens // (self.sinks + self.window), tokens - 1)
        return replace(self, sinks=sinks, window=tokens - sinks)

    def lossless(self) -> Self:
        """A window that no base outgrows."""
        return replace(self, window=2**40)

    def nominal(self, base: Base) -> float:
        """The tokens that stay."""
        return min(1.0, (self.sinks + self.window) / max(1, base.tokens))

    def idle(self, base: Base) -> bool:
        """Sinks and window cover the base."""
        return self.sinks + self.window >= base.tokens

    def compress(self, cache: Cache, queries: Queries | None, layer: Layer, base: Base) -> Segment:
        """Select the kept positions, the same for every KV head."""
        device = cache.k_GLD.device
        protected = base.unless(self.protect).protected_positions(device)
        sinks = torch.arange(self.sinks, device=device)
        fixed = torch.unique(torch.cat([sinks, protected]))
        recent = self._recent(fixed, base.tokens)
        kept = torch.unique(torch.cat([fixed, torch.arange(base.tokens - recent, base.tokens, device=device)]))
        return cache.select(held(cache, kept))

    def _recent(self, fixed: torch.Tensor, tokens: int) -> int:
        """The longest recent window with which all kept tokens number at most sinks + window."""
        recent = self.window
        while recent > 1 and recent + int((fixed < tokens - recent).sum()) > self.sinks + self.window:
            recent -= 1
        return recent
