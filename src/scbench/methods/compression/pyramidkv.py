"""PyramidKV: SnapKV with more tokens in the lower layers than in the upper ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from scbench.errors import ScbenchError
from scbench.methods.base import Base, Cache, Layer, Queries
from scbench.methods.compression.snapkv import SnapKV
from scbench.segments.base import Segment


@dataclass(frozen=True)
class PyramidKV(SnapKV):
    """SnapKV's choice with a budget that falls from layer to layer (arXiv 2406.02069, §3.2).

    With C = `tokens`, w = `window` and the protected tokens, which stay in every layer, and N layers, layer l keeps
    w + max - l·⌊(max - min)/(N - 1)⌋ tokens, where min = ⌊(C - w)/`beta`⌋ and max = 2·(C - w) - min: `tokens` on
    average. Where max exceeds what the base has besides w, it is that, and min what is left. A base of fewer than
    2·(C - w) tokens is compressed as SnapKV does. Layers are counted over the whole model; those with a sliding window
    keep it. In many layers the rounding down of the step adds up: 256 tokens over 64 layers are 280 on average, and a
    budget in bytes is kept. Keys and values `[G, n, D]` of layer l become `[G, its tokens, D]`.

    Memory O(tokens) on average, prefill O(n²) + O(window·n), decode O(tokens) per token. Defaults are SCBench's.
    """

    stages: ClassVar[tuple[str, ...]] = ("compression",)

    beta: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beta < 1:
            raise ScbenchError(f"pyramidkv: beta={self.beta}: expected at least 1")

    def compress(self, cache: Cache, queries: Queries | None, layer: Layer, base: Base) -> Segment:
        """Choose by the attention of the last queries, as many as this layer may keep."""
        protected_P = base.unless(self.protect).protected_positions(cache.k_GLD.device)
        outside = int((protected_P < base.tokens - self.window).sum())
        return self._choose(cache, queries, base, self.layer_tokens(layer, base.tokens, self.window + outside))

    def layer_tokens(self, layer: Layer, base: int, fixed: int) -> int:
        """How many tokens a layer keeps of a base of so many, of which `fixed` always stay."""
        free = max(0, self.tokens - fixed)
        if base < 2 * free or layer.count == 1:
            return self.tokens
        low = free // self.beta
        high = 2 * free - low
        if high >= base - fixed:
            high = base - fixed
            low = 2 * free - high
        return fixed + high - layer.index * ((high - low) // (layer.count - 1))
