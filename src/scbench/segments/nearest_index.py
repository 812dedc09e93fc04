"""Which keys have the largest inner products with a query: by a scan of all of them, or by an index."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor


class Found(NamedTuple):
    """Per query the numbers of the keys that were found, best first, and their inner products with it (float32).

    Where fewer were found than asked for, the number is -1 and the product -inf.
    """

    place_GNK: Tensor
    score_GNK: Tensor


class NearestIndex(ABC):
    """Something that finds, for each KV head, those of its `tokens` keys that a query has the largest products with.

    It never changes once it is made, and finds the same for a query whatever else is asked with it.
    """

    name: ClassVar[str]

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens

    @abstractmethod
    def search(self, q_GND: Tensor, count: int) -> Found:
        """The best `count` keys, or all if there are fewer, for each of the N queries of a KV head."""

    @property
    @abstractmethod
    def bytes(self) -> int:
        """What it holds beside the cache, over all KV heads."""

    @abstractmethod
    def touched(self, queries: int, count: int) -> int:
        """Bytes that it reads to find `count` keys for each of `queries` queries of every KV head."""


class Scan(NearestIndex):
    """The keys of the cache themselves, all of which are read for every query. Nothing is copied."""

    name = "nearest_scan"

    def __init__(self, pieces: Sequence[Tensor]) -> None:
        super().__init__(sum(k_GLD.shape[1] for k_GLD in pieces))
        self._pieces = tuple(pieces)

    def search(self, q_GND: Tensor, count: int) -> Found:
        """By all products."""
        score_GNL = torch.cat([torch.matmul(q_GND, k_GLD.transpose(1, 2)) for k_GLD in self._pieces], dim=-1)
        score_GNK, place_GNK = score_GNL.topk(min(count, self.tokens), dim=-1)
        return Found(place_GNK, score_GNK.float())

    @property
    def bytes(self) -> int:
        """Nothing."""
        return 0

    def touched(self, queries: int, count: int) -> int:
        """All keys, once for the queries of a KV head."""
        return sum(k_GLD.numel() * k_GLD.element_size() for k_GLD in self._pieces)


class Recipe(Protocol):
    """How to make an index."""

    def build(self, pieces: Sequence[Tensor]) -> NearestIndex:
        """An index of the keys `[G, L, D]` of successive stretches of the cache."""


@dataclass(frozen=True)
class Exact:
    """No index."""

    def build(self, pieces: Sequence[Tensor]) -> NearestIndex:
        """A scan."""
        return Scan(pieces)


@dataclass(frozen=True)
class Ivf:
    """Inverted lists: keys are put to the nearest of `nlist` centres, and a query reads the lists of its `nprobe` best.

    Both are shares: centres per token, and lists read of all lists.
    """

    nlist: float
    nprobe: float

    def build(self, pieces: Sequence[Tensor]) -> NearestIndex:
        """By faiss, on the host."""
        from scbench.segments import faiss_index

        return faiss_index.ivf(torch.cat(list(pieces), dim=1), self.nlist, self.nprobe)


@dataclass(frozen=True)
class Hnsw:
    """A navigable graph (arXiv 1603.09320): `m` links per key and level (twice as many on the lowest).

    `ef_construction` and `ef_search` are how many candidates are kept while it is built and searched.
    """

    m: int
    ef_construction: int
    ef_search: int

    def build(self, pieces: Sequence[Tensor]) -> NearestIndex:
        """By faiss, on the host."""
        from scbench.segments import faiss_index

        return faiss_index.hnsw(torch.cat(list(pieces), dim=1), self.m, self.ef_construction, self.ef_search)
