"""Budgets in bytes: the setting of a method whose KV, made on trial, costs no more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from scbench.errors import ScbenchError
from scbench.methods.base import Base, Layer, Method, Queries
from scbench.methods.budget import Limit
from scbench.segments.base import Footprint, Segment
from scbench.segments.dense import DenseSegment

SEED = 0


@dataclass(frozen=True)
class KvShape:
    """What a model's full-attention layers hold: `layers` are their numbers, out of `count`."""

    layers: tuple[int, ...]
    count: int
    kv_heads: int
    query_heads: int
    head_dim: int
    dtype: torch.dtype
    device: torch.device

    def dense(self, tokens: int) -> int:
        """Bytes of so many dense tokens over these layers."""
        return 2 * len(self.layers) * self.kv_heads * tokens * self.head_dim * self.dtype.itemsize


@lru_cache(maxsize=256)
def fitted(method: Method, limit: Limit, base: Base, shape: KvShape) -> Method:
    """The largest setting of a method that compresses or loads whose KV of a base stays within the limit.

    Each setting is tried on a cache of random numbers of the base's length, and its footprint taken at the base's end;
    where a form's size depends on what is cached (`group=each`: a union of several heads' choices), heads choose there
    as if they had nothing in common, so the true size is smaller: 68 % of the limit in a layer of SmolLM2. Raises
    `ScbenchError` if even the smallest one is too large.
    """
    trial = Trial(base, shape)
    every = dict.fromkeys(shape.layers, 1)
    layers: dict[int, int] = {}  # one of those that cost the same, and how many they are

    def fits(tried: Method) -> bool:
        if not layers:
            layers.update(trial.alike(tried))
        return trial.total(tried, layers, limit.touched) <= limit.bytes

    found = method.largest(fits, base.tokens)
    if found is not None and trial.total(found, every, limit.touched) != trial.total(found, layers, limit.touched):
        found = method.largest(lambda tried: trial.total(tried, every, limit.touched) <= limit.bytes, base.tokens)
    if found is None:
        what = "touches" if limit.touched else "stores"
        share = limit.bytes / max(1, shape.dense(base.tokens))
        raise ScbenchError(
            f"budget: even the smallest setting of {type(method).__name__} {what} more than {limit.bytes} bytes "
            f"({share:.1%} of the dense cache); give more, or a budget in tokens"
        )
    return found


class Trial:
    """A cache of random numbers as long as a base, on which methods are tried."""

    def __init__(self, base: Base, shape: KvShape) -> None:
        self.base = base
        self.shape = shape
        self._k_GLD = self._random(shape.kv_heads, base.tokens)

    def total(self, method: Method, layers: Mapping[int, int], touched: bool) -> int:
        """Bytes stored, or touched, by so many layers like each of `layers`."""
        costs = ((self.cost(method, number), count) for number, count in layers.items())
        return sum(count * (cost.touched if touched else cost.stored) for cost, count in costs)

    def alike(self, method: Method) -> dict[int, int]:
        """Of layers on which it costs the same, the first, and how many there are."""
        found: dict[Footprint, list[int]] = {}
        for number in self.shape.layers:
            found.setdefault(self.cost(method, number), []).append(number)
        return {numbers[0]: len(numbers) for numbers in found.values()}

    def cost(self, method: Method, number: int) -> Footprint:
        """What the method's KV of a layer costs, as the engine counts it."""
        layer = Layer(number, self.shape.count, self.shape.query_heads // self.shape.kv_heads)
        cache = DenseSegment(0, self._k_GLD, self._k_GLD)
        parts: list[Segment] = [cache]
        if method.takes_part(self.base) and method.acts_on(layer):
            made = self._made(method, cache, layer)
            parts = [made, *([cache.since(made.stop)] if made.stop < self.base.tokens else [])]
        found = [part.footprint(self.base.tokens) for part in parts]
        return Footprint(
            sum(one.tokens for one in found), sum(one.stored for one in found), sum(one.touched for one in found)
        )

    def _made(self, method: Method, cache: DenseSegment, layer: Layer) -> Segment:
        window = min(method.queries, self.base.tokens)
        queries = Queries(self._random(self.shape.query_heads, window), self.base.tokens, 1.0) if window else None
        if "compression" in method.stages:
            return method.compress(cache, queries, layer, self.base)
        return (
            method.focus(cache, queries, layer, self.base) if method.focuses else method.load(cache, layer, self.base)
        )

    def _random(self, heads: int, tokens: int) -> Tensor:
        generator = torch.Generator().manual_seed(SEED)
        drawn_HLD = torch.randn(heads, tokens, self.shape.head_dim, generator=generator)
        return drawn_HLD.to(self.shape.device, self.shape.dtype)
