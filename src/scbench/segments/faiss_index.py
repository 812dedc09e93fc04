"""Approximate indexes of keys, by faiss and on the host. The only module that names faiss.

Every KV head has an index of its own, which one thread builds from faiss's fixed seeds: in a graph that several threads
build, their order decides about links. The heads' indexes are built side by side. A search finds the same with any
number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import faiss
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scbench.segments.nearest_index import Found, NearestIndex

ROUNDS = 10  # of k-means
FLOAT = 4  # bytes
NUMBER = 8  # bytes of a key's number in a list


class FaissIndex(NearestIndex):
    """One faiss index per KV head, over keys from which their mean was taken.

    That changes nothing in the order of a query's products, which all lose the same, and sets the keys apart: in layer
    8 of SmolLM2 at 8K a graph of the default size finds 0.96 of the best 100 keys so, and about 0.4 without.
    """

    def __init__(self, indexes: Sequence[Any], mean_GD: Tensor) -> None:
        super().__init__(indexes[0].ntotal)
        self._indexes = tuple(indexes)
        self._mean_GD = mean_GD

    def search(self, q_GND: Tensor, count: int) -> Found:
        """Head by head; of another device, queries come to the host and what is found goes back."""
        host_GND = q_GND.float().cpu()
        count = min(count, self.tokens)
        pairs = [index.search(q_ND.numpy(), count) for index, q_ND in zip(self._indexes, host_GND, strict=True)]
        score_GNK, place_GNK = (torch.from_numpy(np.stack(parts)) for parts in zip(*pairs, strict=True))
        lost_GN1 = torch.einsum("gnd,gd->gn", host_GND, self._mean_GD).unsqueeze(-1)
        score_GNK = (score_GNK + lost_GN1).masked_fill(place_GNK < 0, -torch.inf)
        return Found(place_GNK.to(q_GND.device), score_GNK.to(q_GND.device))


class IvfIndex(FaissIndex):
    """Inverted lists."""

    name = "faiss_ivf"

    @property
    def bytes(self) -> int:
        """A copy of the keys and their numbers, and the centres."""
        return sum(index.ntotal * (FLOAT * index.d + NUMBER) + FLOAT * index.d * index.nlist for index in self._indexes)

    def touched(self, queries: int, count: int) -> int:
        """The centres, and of the lists, taken to be equally long, `nprobe` for each query."""
        return sum(
            FLOAT * index.d * index.nlist
            + round(min(1.0, queries * index.nprobe / index.nlist) * index.ntotal) * (FLOAT * index.d + NUMBER)
            for index in self._indexes
        )


class HnswIndex(FaissIndex):
    """A graph."""

    name = "faiss_hnsw"

    @property
    def bytes(self) -> int:
        """A copy of the keys, and the links."""
        return sum(
            FLOAT * (index.ntotal * index.d + index.hnsw.neighbors.size() + index.hnsw.levels.size())
            + NUMBER * index.hnsw.offsets.size()
            for index in self._indexes
        )

    def touched(self, queries: int, count: int) -> int:
        """An estimate: a query goes on from `ef_search` keys (or `count`), reads their links, and a quarter of the keys
        that these lead to, since it has seen the others (so measured on SmolLM2's keys, with 200 candidates)."""
        total = 0
        for index in self._indexes:
            links = index.hnsw.nb_neighbors(0)
            steps = min(index.ntotal, queries * max(count, index.hnsw.efSearch))
            total += FLOAT * (steps * links + min(index.ntotal, steps * links // 4) * index.d)
        return total


def ivf(k_GLD: Tensor, nlist: float, nprobe: float) -> IvfIndex:
    """`nlist` centres per key, by k-means; a query reads the share `nprobe` of the lists."""

    def one(k_LD: NDArray[np.float32]) -> Any:
        tokens, dim = k_LD.shape
        index = faiss.IndexIVFFlat(
            faiss.IndexFlatIP(dim), dim, max(1, round(nlist * tokens)), faiss.METRIC_INNER_PRODUCT
        )
        index.cp.niter = ROUNDS
        index.cp.min_points_per_centroid = 1  # or it prints what it thinks of that
        index.train(k_LD)
        index.add(k_LD)
        index.nprobe = max(1, round(nprobe * index.nlist))
        return index

    return IvfIndex(*_by_head(one, k_GLD))


def hnsw(k_GLD: Tensor, m: int, ef_construction: int, ef_search: int) -> HnswIndex:
    """Links to `m` keys per level, chosen of `ef_construction`; a search keeps `ef_search` candidates."""

    def one(k_LD: NDArray[np.float32]) -> Any:
        index = faiss.IndexHNSWFlat(k_LD.shape[1], m, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = ef_construction
        index.hnsw.efSearch = ef_search
        index.add(k_LD)
        return index

    return HnswIndex(*_by_head(one, k_GLD))


def _by_head(one: Callable[[NDArray[np.float32]], Any], k_GLD: Tensor) -> tuple[list[Any], Tensor]:
    """An index per head, each by one thread, whose setting is its own; and the heads' mean keys."""
    host_GLD = k_GLD.float().cpu()
    mean_GD = host_GLD.mean(1)
    keys = [np.ascontiguousarray((k_LD - mean_D).numpy()) for k_LD, mean_D in zip(host_GLD, mean_GD, strict=True)]
    workers = min(len(keys), faiss.omp_get_max_threads())
    with ThreadPoolExecutor(workers, initializer=faiss.omp_set_num_threads, initargs=(1,)) as pool:
        return list(pool.map(one, keys)), mean_GD
