"""TurboQuant: keys and values turned at random, then rounded coordinate by coordinate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from scbench.errors import ScbenchError
from scbench.kernels.rotated import Coder
from scbench.methods.base import Base, Cache, Layer, Method, Queries
from scbench.methods.budget import most_exact
from scbench.segments.base import Segment
from scbench.segments.dense import DenseSegment
from scbench.segments.rotated import Coding, RotatedSegment

BITS = (2, 3, 4, 16)
MSE, PROD = "mse", "prod"


@dataclass(frozen=True)
class TurboQuant(Method):
    """Rounding that needs no data (arXiv 2504.19874, ICLR 2026, algorithms 1 and 2).

    After a dense prefill every key and value of a token and KV head is divided by its norm, turned by a random rotation
    R (one for the model, from `seed`), and each coordinate rounded to the nearest of 2^`bits` levels. These are the
    best for the coordinates of a random direction in D dimensions: density ∝ (1 - x²)^((D - 3) / 2). Stored are `bits`
    bits per coordinate and the norm in float16. E ‖x - x̃‖² / ‖x‖² is 0.36, 0.117, 0.03, 0.009 for 1 to 4 bits
    (theorem 1). Per KV head, vectors `[n, D]` become codes `[n, D]` and norms `[n]`.

    `variant=prod` makes q·k right on average (theorem 2): keys are rounded with one bit less, and of the rest r the
    norm and the signs of S r are stored, S being of independent normal numbers; the direction then has
    √(π/2) / D · ‖r‖ · Sᵀ sign(S r) added. Values are summed and not multiplied, so they stay as in `mse`, the default.

    The newest `residual` tokens stay as they are; tokens that come later are rounded at the end of every prompt. Memory
    bits/16 + 1/D of a 16-bit cache (1.5/D with `prod`), prefill O(n²), decode O(n) per token over fewer bytes. The
    paper's mixtures (2.5 and 3.5 bits, with more bits for channels that stand out) are not here; 4 bits, the default,
    are above the 3.5 at which it finds no loss. `bits=16` rounds nothing. A budget in bytes chooses the most bits
    that fit, and spends what is then left on a longer `residual`.
    """

    stages: ClassVar[tuple[str, ...]] = ("compression",)
    uses_bytes: ClassVar[bool] = True

    bits: int = 4
    variant: str = MSE
    residual: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.bits not in BITS:
            raise ScbenchError(f"turboquant: bits={self.bits}: expected 2, 3, 4, or 16 for no rounding")
        if self.variant not in (MSE, PROD):
            raise ScbenchError(f"turboquant: variant={self.variant}: expected {MSE} or {PROD}")
        if self.residual < 0:
            raise ScbenchError(f"turboquant: residual={self.residual} must be >= 0")

    def lossless(self) -> Self:
        """No rounding."""
        return replace(self, bits=16)

    def largest(self, fits: Callable[[Self], bool], tokens: int) -> Self | None:
        """As many bits as fit, then as many exact tokens."""
        return most_exact([replace(self, bits=bits) for bits in reversed(BITS)], fits, tokens)

    def with_exact(self, newest: int) -> Self:
        """At least so many of the newest tokens stay as they are."""
        return replace(self, residual=max(self.residual, newest))

    def nominal(self, base: Base) -> float:
        """The bits of 16."""
        return self.bits / 16

    @property
    def grows(self) -> bool:
        """Later tokens are rounded too."""
        return True

    def idle(self, base: Base) -> bool:
        """Nothing is rounded, or all tokens are among the newest."""
        return self.bits == 16 or base.tokens <= self.residual

    def compress(self, cache: Cache, queries: Queries | None, layer: Layer, base: Base) -> Segment:
        """Round all tokens but the newest."""
        if not isinstance(cache, DenseSegment):
            raise TypeError("turboquant rounds a dense cache")
        dim, device = cache.k_GLD.shape[-1], cache.k_GLD.device
        keys = Coder.of(dim, self.bits, self.seed, self.variant == PROD, device)
        values = Coder.of(dim, self.bits, self.seed, False, device)
        return RotatedSegment(cache.start, Coding(keys, values, self.residual)).absorb(cache)
