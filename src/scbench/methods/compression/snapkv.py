"""SnapKV: keep what the last queries look at."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from scbench.errors import ScbenchError
from scbench.methods.base import Base, Cache, Layer, Method, Queries
from scbench.methods.choosing import best, looked_at
from scbench.segments.base import Segment
from scbench.segments.kept import KeptSegment, RaggedSegment

GROUPS = ("mean", "max", "each")


@dataclass(frozen=True)
class SnapKV(Method):
    """Attention of the last queries chooses the tokens that stay (arXiv 2404.14469, §4).

    At the end of the base the last `window` queries attend to every key that they may see; the weights are summed over
    those queries, smoothed by an average over `kernel` neighbouring keys (in front of the window, with zeros behind
    them), and the tokens with the highest sums stay, `tokens` per KV head with the last `window` ones, which always
    stay. Protected tokens stay and count too, unless `protect=false`.

    The query heads of a group choose together by their `mean` or `max` weight, or `each` for itself: then a KV head
    keeps the union, and each query head reads only its own choice (as SCBench's code does, which copies KV for every
    query head). With `query=aware` the queries are those of the question.

    Queries `[H, window, D]` and keys `[G, n, D]` give weights `[H, n]` and scores `[G, n]` (`each`: `[H, n]`); keys and
    values become `[G, tokens, D]`.

    Memory O(tokens), prefill O(n²) + O(window·n), decode O(tokens) per token. Defaults are SCBench's.
    """

    uses_budget: ClassVar[bool] = True
    stages: ClassVar[tuple[str, ...]] = ("compression",)
    observes: ClassVar[bool] = True
    repeats: ClassVar[bool] = True

    tokens: int = 4096
    window: int = 32
    kernel: int = 5
    group: str = "mean"
    protect: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        if self.window < 1 or self.kernel < 1 or self.kernel % 2 == 0 or self.tokens < 1:
            raise ScbenchError(
                f"{self._name()}: tokens={self.tokens}, window={self.window} and kernel={self.kernel} must be at least "
                "1, and kernel odd"
            )
        if self.group not in GROUPS:
            raise ScbenchError(f"{self._name()}: group={self.group}: expected one of {', '.join(GROUPS)}")

    def _name(self) -> str:
        return type(self).__name__.lower()

    @property
    def queries(self) -> int:
        """The window."""
        return self.window

    @property
    def per_query_head(self) -> bool:
        """With `each`."""
        return self.group == "each"

    def with_tokens(self, tokens: int) -> Self:
        """So many tokens; the window shrinks where it would be more than half of them."""
        return replace(self, tokens=tokens, window=max(1, min(self.window, tokens // 2)))

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
        """Choose by the attention of the last queries."""
        return self._choose(cache, queries, base, self.tokens)

    def _choose(self, cache: Cache, queries: Queries | None, base: Base, tokens: int) -> Segment:
        if queries is None:
            raise RuntimeError("it acts on what the last queries look at, but none were observed")
        score_GgL = self._scores(cache, queries, base)
        always_L = torch.isin(cache.position_GL, base.unless(self.protect).protected_positions(score_GgL.device))
        always_L |= cache.position_GL >= base.tokens - self.window
        if self.group == "each":
            return _union(cache, torch.stack([best(s, always_L, tokens) for s in score_GgL.unbind(1)], dim=1))
        score_GL = score_GgL.mean(dim=1) if self.group == "mean" else score_GgL.amax(dim=1)
        return cache.select(best(score_GL, always_L, tokens))

    def _scores(self, cache: Cache, queries: Queries, base: Base) -> Tensor:
        """Smoothed sums of attention weights per query head: `[G, g, L]`; none in the window, which stays anyway."""
        weight_GgL = looked_at(cache, queries)
        weight_GgL.masked_fill_((cache.position_GL >= base.tokens - self.window).unsqueeze(1), 0.0)
        return F.avg_pool1d(weight_GgL, self.kernel, stride=1, padding=self.kernel // 2)


def _union(cache: Cache, index_GgK: Tensor) -> RaggedSegment:
    """Per KV head the tokens that any of its query heads chose, and which of them chose what."""
    heads: list[KeptSegment] = []
    masks: list[Tensor] = []
    every_GL = cache.position_GL
    for number, index_gK in enumerate(index_GgK):
        chosen_gL = torch.zeros(index_gK.shape[0], every_GL.shape[1], dtype=torch.bool, device=index_gK.device)
        chosen_gL.scatter_(1, index_gK, True)
        union_L = chosen_gL.any(dim=0)
        part = slice(number, number + 1)
        heads.append(
            KeptSegment(
                cache.start, cache.stop, every_GL[part, union_L], cache.k_GLD[part, union_L], cache.v_GLD[part, union_L]
            )
        )
        masks.append(chosen_gL[:, union_L])
    return RaggedSegment(heads, masks)
