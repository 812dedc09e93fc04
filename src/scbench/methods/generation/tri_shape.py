"""Tri-shape: A-shape whose last rows read everything."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from scbench.errors import ScbenchError
from scbench.kernels.plans import Band, Plan
from scbench.methods.base import PROMPT, Layer, Prompt
from scbench.methods.generation.a_shape import AShape


@dataclass(frozen=True)
class TriShape(AShape):
    """Static sparse prefill: sinks, a window, and dense last rows (SCBench, arXiv 2412.10319, §3).

    As A-shape, but the `last` rows of the base, which hold the question where the base has one, read every key before
    them. The cache keeps all tokens; what comes after the base, and decoding, is dense. The last rows do not count in
    the budget, and are fewer than the base has.

    The mask is `[n, n]`, the same for all heads. Memory O(n), prefill O(n·(sinks + window + last)), decode O(n) per
    token. Defaults are those of SCBench's code; its paper says 128 or 64 last rows.
    """

    family_key: ClassVar[str] = "tri_shape"
    horizon: ClassVar[str] = PROMPT

    last: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.last < 0:
            raise ScbenchError(f"tri_shape: last={self.last} must be >= 0")

    def lossless(self) -> Self:
        """A window that no base outgrows."""
        return replace(self, window=2**40)

    def prefill(self, prompt: Prompt, layer: Layer) -> Plan | None:
        """The same band for every layer."""
        return Band(self.sinks, self.window, min(self.last, prompt.total - 1))
