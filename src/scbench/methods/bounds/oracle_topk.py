"""Oracle top-k: what a budget of read tokens is worth with a perfect choice at every step."""

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
class OracleTopK(Method):
    """A ceiling: every new token reads the `tokens` keys with the highest scores, out of the whole cache.

    The scores q·k are exact, and computed anew for every token and layer, so nothing is saved: it shows what a method
    that reads so few tokens could reach. The query heads of a group choose by their `mean` score, or `each` for itself.
    Tokens after the last point (a question that is being read, the answer) are read whole and do not count.

    With G KV heads, g query heads of each: q `[G, g, D]` and keys `[G, n, D]` give scores `[G, n]` (`each`: `[G, g,
    n]`), of which the largest `tokens` are read per head. Memory O(n), prefill O(n²), decode O(n) per token.
    """

    uses_budget: ClassVar[bool] = True
    stages: ClassVar[tuple[str, ...]] = ("loading",)
    needs_dense: ClassVar[bool] = True

    tokens: int = 1024
    group: str = "mean"

    def __post_init__(self) -> None:
        if self.tokens < 1:
            raise ScbenchError(f"oracle_topk: tokens={self.tokens} must be >= 1")
        if self.group not in GROUPS:
            raise ScbenchError(f"oracle_topk: group={self.group}: expected one of {', '.join(GROUPS)}")

    def with_tokens(self, tokens: int) -> Self:
        """So many tokens are read."""
        return replace(self, tokens=tokens)

    def lossless(self) -> Self:
        """Every token is read."""
        return replace(self, tokens=2**40)

    @property
    def grows(self) -> bool:
        """Later tokens are paged too."""
        return True

    def nominal(self, base: Base) -> float:
        """The tokens that are read."""
        return min(1.0, self.tokens / max(1, base.tokens))

    def idle(self, base: Base) -> bool:
        """All tokens of the base are read."""
        return self.tokens >= base.tokens

    def load(self, cache: Cache, layer: Layer, base: Base) -> Segment:
        """Pages of one token, whose bounds are the keys themselves."""
        if not isinstance(cache, DenseSegment):
            raise TypeError("oracle_topk reads a dense cache")
        return PagedSegment.of(cache, Paging(1, self.tokens, self.group == "mean", layer.group))
