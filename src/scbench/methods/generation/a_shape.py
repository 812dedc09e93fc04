"""A-shape: a prefill that reads the first tokens and the nearest ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from scbench.errors import ScbenchError
from scbench.kernels.plans import Band, Plan
from scbench.methods.base import Base, Layer, Method, Prompt


@dataclass(frozen=True)
class AShape(Method):
    """Static sparse prefill: sinks and a window (SCBench, arXiv 2412.10319, §3).

    A row of the base reads the first `sinks` keys and those less than `window` positions before it. The cache keeps all
    tokens; what comes after the base, and decoding, is dense. A budget keeps the proportion of sinks and window, which
    then are what a token of the base reads.

    The mask is `[n, n]`, the same for all heads. Memory O(n), prefill O(n·(sinks + window)), decode O(n) per token.
    Defaults are those of SCBench's code.
    """

    uses_budget: ClassVar[bool] = True
    family_key: ClassVar[str] = "a_shape"
    stages: ClassVar[tuple[str, ...]] = ("generation",)

    sinks: int = 128
    window: int = 3968

    def __post_init__(self) -> None:
        if self.sinks < 0 or self.window < 1:
            raise ScbenchError(f"a_shape: sinks={self.sinks}, window={self.window}: sinks must be >= 0, window >= 1")

    def with_tokens(self, tokens: int) -> Self:
        """Sinks and window in their proportion, `tokens` together."""
        sinks = min(self.sinks * tokens // (self.sinks + self.window), tokens - 1)
        return replace(self, sinks=sinks, window=tokens - sinks)

    def lossless(self) -> Self:
        """A window that no base outgrows."""
        return replace(self, window=2**40)

    def nominal(self, base: Base) -> float:
        """The tokens that are read."""
        return min(1.0, (self.sinks + self.window) / max(1, base.tokens))

    def idle(self, base: Base) -> bool:
        """Sinks and window cover the base."""
        return self.sinks + self.window >= base.tokens

    def prefill(self, prompt: Prompt, layer: Layer) -> Plan | None:
        """The same band for every layer."""
        return Band(self.sinks, self.window)
