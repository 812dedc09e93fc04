"""RocketKV for several turns: for every answer, few candidates, and of these few pages for every token."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch.nn.functional as F

from scbench.errors import ScbenchError
from scbench.methods.base import Base, Cache, Layer, Method, Queries
from scbench.methods.choosing import best, looked_at
from scbench.segments.base import Segment
from scbench.segments.hybrid import Hybrid, HybridSegment


@dataclass(frozen=True)
class RocketKV(Method):
    """Two stages of choosing what an answer reads (arXiv 2502.14051; RocketKV-MT, the form for several turns, §3.5).

    The cache stays whole, and prompts are read over all of it. Then, at the end of every prompt anew:

    1. The last `window` queries attend to all keys. Their weights, summed over queries and the query heads of a group,
       with the largest of `kernel` neighbours in the place of each, choose the candidates, per KV head; the last
       `window` tokens always are.
    2. The candidates lie in pages with the smallest and largest key per channel. Every token of the answer chooses
       pages by a part of the channels, for all query heads of a group at once, and reads those exactly (hybrid sparse
       attention, §3.4: `scbench.segments.hybrid`).

    With n tokens in the cache and c = n / `tokens`, n / c^s are candidates, where s = min(0.2 + 0.06 log2 c, 0.8)
    divides the saving between the stages (§3.6). Let c' be candidates / `tokens`: pages have min(⌊c'⌋, ⌈√c'⌉) tokens,
    D · page / c' of the D channels are looked at, and pages for `tokens` / 2 tokens are read. So a token reads keys and
    values for half of the budget, and bounds that are as many bytes as the other half.

    Differences from the authors' code: the answer's own tokens are read whole and do not count; n is the cache's length
    at the prompt's end, without room for the answer; whole pages are read; the last token of a prompt is read like the
    others; where a prompt is shorter than the window, queries before it count too.

    Memory O(n), and per answer a copy of its candidates; prefill O(n²), at a prompt's end O(window · n), decode
    O(n / c) per token. Defaults are the authors' for SCBench (window 32 elsewhere), and Quest's budget.
    """

    uses_budget: ClassVar[bool] = True
    stages: ClassVar[tuple[str, ...]] = ("loading",)
    focuses: ClassVar[bool] = True
    needs_dense: ClassVar[bool] = True

    tokens: int = 1024
    window: int = 128
    kernel: int = 63

    def __post_init__(self) -> None:
        if not 1 <= self.window <= self.tokens or self.kernel < 1 or self.kernel % 2 == 0:
            raise ScbenchError(
                f"rocketkv: tokens={self.tokens}, window={self.window}, kernel={self.kernel}: window must be from 1 to "
                "tokens, and kernel odd"
            )

    @property
    def queries(self) -> int:
        """The window."""
        return self.window

    def with_tokens(self, tokens: int) -> Self:
        """So many tokens' bytes are read; the window shrinks where it would be more than half of them."""
        return replace(self, tokens=tokens, window=max(1, min(self.window, tokens // 2)))

    def lossless(self) -> Self:
        """More tokens than any cache has."""
        return replace(self, tokens=2**40)

    def nominal(self, base: Base) -> float:
        """The tokens whose bytes are read."""
        return min(1.0, self.tokens / max(1, base.tokens))

    @property
    def grows(self) -> bool:
        """It acts once a prompt is long enough."""
        return True

    def idle(self, base: Base) -> bool:
        """The cache is no longer than what is read."""
        return self.tokens >= base.tokens

    def focus(self, cache: Cache, queries: Queries | None, layer: Layer, base: Base) -> Segment:
        """Choose the candidates by the attention of the last queries, and lay them in pages."""
        if queries is None:
            raise RuntimeError("it acts on what the last queries look at, but none were observed")
        count, hybrid = divided(base.tokens, self.tokens, cache.k_GLD.shape[-1])
        newest_GL = cache.position_GL >= queries.start
        weight_GL = looked_at(cache, queries).sum(1).masked_fill(newest_GL, 0.0)
        score_GL = F.max_pool1d(weight_GL, self.kernel, stride=1, padding=self.kernel // 2)
        return HybridSegment(cache.select(best(score_GL, newest_GL, count)), hybrid, queries.scale)


def divided(tokens: int, budget: int, dim: int) -> tuple[int, Hybrid]:
    """How many of `tokens` are candidates, in whole pages, and how a token reads those.

    At least `budget` tokens are candidates, so that the window is among them.
    """
    ratio = tokens / budget
    share = min(0.2 + 0.06 * math.log2(ratio), 0.8)
    count = max(budget, int(tokens / ratio**share))
    left = count / budget
    page = min(int(left), math.ceil(math.sqrt(left)))
    return count // page * page, Hybrid(page, max(1, budget // 2 // page), max(1, int(dim * page / left)))
