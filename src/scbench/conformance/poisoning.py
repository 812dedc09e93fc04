"""A method after which nothing of the dense cache can be used."""

from __future__ import annotations

from typing import Any

import torch

from scbench.methods.base import Base, Cache, Layer, Method, Queries
from scbench.segments.base import Segment
from scbench.segments.dense import DenseSegment


class Poisoning(Method):
    """A method that overwrites the dense cache once it has acted; a loading method gets a copy of its own first."""

    def __init__(self, method: Method) -> None:
        object.__setattr__(self, "_method", method)

    def __getattribute__(self, name: str) -> Any:
        if name in ("compress", "load", "_method", "__class__"):
            return object.__getattribute__(self, name)
        return getattr(object.__getattribute__(self, "_method"), name)

    def compress(self, cache: Cache, queries: Queries | None, layer: Layer, base: Base) -> Segment:
        """Compress, then overwrite."""
        made: Segment = self._method.compress(cache, queries, layer, base)
        _overwrite(cache, made.stop)
        return made

    def load(self, cache: Cache, layer: Layer, base: Base) -> Segment:
        """Load a copy, then overwrite."""
        made: Segment = self._method.load(_copy(cache), layer, base)
        _overwrite(cache, made.stop)
        return made


def _copy(cache: Cache) -> Cache:
    if isinstance(cache, DenseSegment):
        return cache.since(cache.start)
    return cache.select(torch.arange(cache.k_GLD.shape[1]).expand(cache.k_GLD.shape[0], -1))


def _overwrite(cache: Cache, stop: int) -> None:
    """What lies behind the made segment stays dense, and is the engine's to take."""
    gone_GL1 = (cache.position_GL < stop).unsqueeze(-1)
    cache.k_GLD.masked_fill_(gone_GL1, torch.nan)
    cache.v_GLD.masked_fill_(gone_GL1, torch.nan)
