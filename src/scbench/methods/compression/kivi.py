"""KIVI: keys and values in two bits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from scbench.errors import ScbenchError
from scbench.methods.base import Base, Cache, Layer, Method, Queries
from scbench.methods.budget import most_exact
from scbench.segments.base import Segment
from scbench.segments.dense import DenseSegment
from scbench.segments.quantised import Rounding, quantise

BITS = (16, 4, 2)  # 16: not rounded


@dataclass(frozen=True)
class Kivi(Method):
    """Asymmetric rounding, keys per channel and values per token (arXiv 2402.02750, §3).

    After a dense prefill, keys are rounded in groups of `group` tokens per channel, values in groups of `group`
    channels per token, to `bits` bits with a minimum and a scale in float16. The newest tokens stay as they are: keys
    until their group is full, values until `residual` newer tokens are there (in whole groups here, so up to
    `group` - 1 more). Tokens that come later are rounded in the same way, at the end of every prompt; with
    `later=false` they stay as they are, as in SCBench's code. A budget in bytes chooses the most bits that fit, and
    spends what is then left on a longer `residual`.

    Per KV head, keys `[n, D]` become codes `[n, D]` with minimum and scale `[n / group, D]`, values codes `[n, D]` with
    minimum and scale `[n, D / group]`.

    Memory about bits/16 + 2/group of a 16-bit cache, prefill O(n²), decode O(n) per token over fewer bytes. Defaults
    are SCBench's. `bits=16` rounds nothing.
    """

    stages: ClassVar[tuple[str, ...]] = ("compression",)
    uses_bytes: ClassVar[bool] = True

    bits: int = 2
    group: int = 32
    residual: int = 32
    later: bool = True

    def __post_init__(self) -> None:
        if self.bits not in BITS:
            raise ScbenchError(f"kivi: bits={self.bits}: expected 2, 4, or 16 for no rounding")
        if self.group < 8 or self.group % 8 or self.residual < 0:
            raise ScbenchError(
                f"kivi: group={self.group}, residual={self.residual}: group must be a multiple of 8, residual >= 0"
            )

    def lossless(self) -> Self:
        """No rounding."""
        return replace(self, bits=16)

    def largest(self, fits: Callable[[Self], bool], tokens: int) -> Self | None:
        """As many bits as fit, then as many exact tokens."""
        return most_exact([replace(self, bits=bits) for bits in BITS], fits, tokens)

    def with_exact(self, newest: int) -> Self:
        """The values of at least so many of the newest tokens stay as they are."""
        return replace(self, residual=max(self.residual, newest))

    def nominal(self, base: Base) -> float:
        """The bits of 16."""
        return self.bits / 16

    @property
    def grows(self) -> bool:
        """With `later`."""
        return self.later

    def idle(self, base: Base) -> bool:
        """Nothing is rounded, or no group is full yet."""
        return self.bits == 16 or base.tokens < self.group

    def compress(self, cache: Cache, queries: Queries | None, layer: Layer, base: Base) -> Segment:
        """Round the full groups."""
        if not isinstance(cache, DenseSegment):
            raise TypeError("kivi rounds a dense cache")
        return quantise(cache, Rounding(self.bits, self.group, self.residual), self.later)
