"""CacheBlend: KV of chunks that were read apart, with the tokens computed again that deviate most."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from torch import Tensor

from scbench.errors import ScbenchError
from scbench.methods.base import Base, Deviation, Method


@dataclass(frozen=True)
class CacheBlend(Method):
    """Reuse of KV across contexts with selective recomputation (arXiv 2405.16444, §4).

    The context is cut every `chunk` tokens; each chunk's KV is that of the chunk alone, as a store would have it, with
    its keys at their places in this context. At layer 1 the values of all tokens are compared with those of the
    whole context; the `share` of tokens whose values differ most are computed again in every layer, over everything
    before them, and their keys and values put in the place of the old ones; at layer 1 itself the new ones of all
    tokens stay, since they are there. What lies behind the context (a question) is always computed. The paper narrows
    the choice from layer to layer; as in the authors' code, one layer decides here.

    Keys and values are `[G, n, D]` per layer, deviations `[n]`: squared differences summed over KV heads and channels.

    The chunks are computed ahead (`precompute`); prefill then costs about `share` of a dense one. Memory O(n), decode
    O(n) per token. Defaults are the paper's share and SCBench's chunk.
    """

    family_key: ClassVar[str] = "cacheblend"
    stages: ClassVar[tuple[str, ...]] = ("retrieval",)
    compares: ClassVar[int | None] = 1

    chunk: int = 256
    share: float = 0.16

    def __post_init__(self) -> None:
        if self.chunk < 1 or not 0 <= self.share <= 1:
            raise ScbenchError(f"cacheblend: chunk={self.chunk} must be >= 1 and share={self.share} in [0, 1]")

    def lossless(self) -> Self:
        """Everything is computed again."""
        return replace(self, share=1.0)

    def idle(self, base: Base) -> bool:
        """There is one chunk."""
        return self.chunk >= base.tokens

    def reuse(self, base: Base) -> tuple[int, ...]:
        """A cut every `chunk` tokens."""
        return tuple(range(self.chunk, base.tokens, self.chunk))

    def recompute(self, cuts: tuple[int, ...], deviation: Deviation | None, base: Base) -> Tensor:
        """The tokens whose values deviate most."""
        if deviation is None:
            raise RuntimeError("cacheblend chooses by deviation, but nothing was compared")
        count = math.ceil(self.share * base.tokens)
        return deviation.v_L.argsort(descending=True, stable=True)[:count].sort().values
