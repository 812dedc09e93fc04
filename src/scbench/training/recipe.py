"""How a tiny model is trained: everything but its architecture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """AdamW with warm-up, a constant rate, and a linear fall at the end.

    `steps`     batches in all, one optimiser step each
    `tokens`    of a batch, about; a longer example is a batch of its own
    `rate`      learning rate; `warmup` steps rise to it, the last `fall` share of the steps falls to zero
    `slower`    the share of the rate that embeddings learn at, so that rare tokens stay apart
    `stepwise`  whether the tracks come one after the other, copying first (`curriculum.STEPWISE`), or all at once
    `stretch`   share of the batches in which positions jump, so that short examples show long distances
    `seed`      of weights and sessions
    """

    steps: int = 2200
    tokens: int = 1024
    rate: float = 1.5e-3
    slower: float = 0.3
    warmup: int = 50
    fall: float = 0.25
    decay: float = 0.01
    clip: float = 1.0
    stepwise: bool = True
    stretch: float = 0.1
    seed: int = 0

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        rising = (step + 1) / self.warmup
        falling = (self.steps - step) / (self.fall * self.steps)
        return self.rate * max(0.0, min(1.0, rising, falling))


RECIPES: Mapping[str, Recipe] = {
    "tiny-llama": Recipe(steps=900, tokens=2048, rate=2e-4, stepwise=False),  # slow: it begins with most of it
    "tiny-hybrid": Recipe(steps=2200),
    "tiny-hybrid-1to7": Recipe(steps=1500),
    "tiny-mamba2": Recipe(steps=900),
}
