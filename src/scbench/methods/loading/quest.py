"""Quest: read only the pages that may matter to the query."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from scbench.errors import ScbenchError
from scbench.methods.base import Base, Cache, Layer, Method
from scbench.segments.base import Segment
from scbench.segments.dense import DenseSegment
from scbench.segments.paged import PagedSegment, Paging

GROUPS = ("mean", "each")


@dataclass(frozen=True)
class Quest(Method):
    """Query-aware page selection (arXiv 2406.10774, §3.3).

    The cache stays whole, in pages of `page` tokens with the smallest and largest key per channel. For every new token
    each KV head reads the `tokens` / `page` pages (at least one) with the highest upper bound of q·k, exactly. The
    query heads of a group choose by their `mean` bound, or `each` for itself. Tokens after the last point (a question
    that is being read, the answer) are read whole and do not count.

    Bounds are `[G, n / page, D]`, twice; q `[G, g, D]` gives scores `[G, n / page]` (`each`: `[G, g, n / page]`).

    The first `dense_layers` layers read everything, as in the authors' code. Memory O(n) + 2n/page, prefill O(n²),
    decode O(n/page + tokens) per token. Defaults are SCBench's budget and page.
    """

    uses_budget: ClassVar[bool] = True
    stages: ClassVar[tuple[str, ...]] = ("loading",)
    needs_dense: ClassVar[bool] = True

    tokens: int = 1024
    page: int = 16
    dense_layers: int = 2
    group: str = "mean"

    def __post_init__(self) -> None:
        if self.page < 1 or self.tokens < 1 or self.dense_layers < 0:
            raise ScbenchError(
                f"quest: tokens={self.tokens}, page={self.page}, dense_layers={self.dense_layers}: "
                "tokens and page must be >= 1, dense_layers >= 0"
            )
        if self.group not in GROUPS:
            raise ScbenchError(f"quest: group={self.group}: expected one of {', '.join(GROUPS)}")

    def with_tokens(self, tokens: int) -> Self:
        """So many tokens are read."""
        return replace(self, tokens=tokens)

    def lossless(self) -> Self:
        """Every page is read."""
        return replace(self, tokens=2**40)

    @property
    def grows(self) -> bool:
        """Later tokens are paged too."""
        return True

    def nominal(self, base: Base) -> float:
        """The tokens that are read."""
        return min(1.0, self.tokens / max(1, base.tokens))

    def idle(self, base: Base) -> bool:
        """All pages of the base are read."""
        return self._pages() * self.page >= base.tokens

    def acts_on(self, layer: Layer) -> bool:
        """Not the first layers; but of a model that has no more, the last one."""
        return layer.index >= min(self.dense_layers, layer.count - 1)

    def load(self, cache: Cache, layer: Layer, base: Base) -> Segment:
        """Pages over the same KV."""
        if not isinstance(cache, DenseSegment):
            raise TypeError("quest pages a dense cache")
        return PagedSegment.of(cache, Paging(self.page, self._pages(), self.group == "mean", layer.group))

    def _pages(self) -> int:
        return max(1, self.tokens // self.page)
