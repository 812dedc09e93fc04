"""RetrievalAttention: find the keys that matter to the query in an index."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from scbench.errors import ScbenchError
from scbench.methods.base import Base, Cache, Layer, Method
from scbench.segments.base import Segment
from scbench.segments.dense import DenseSegment
from scbench.segments.indexed import IndexedSegment, Indexing
from scbench.segments.nearest_index import Exact, Hnsw, Ivf, Recipe

GROUPS = ("mean", "each")
INDEXES = ("exact", "ivf", "hnsw")


@dataclass(frozen=True)
class RetrievalAttention(Method):
    """Attention over what a search for the largest inner products finds (arXiv 2409.10516, §3).

    The cache stays whole. Every new token reads the first `sinks` and the last `window` tokens, and the `k` others
    with the highest q·k that an index finds; partial results join by their log-sum-exp. The heads of a group search
    with their `mean` query, or `each` for itself, as in the paper. Tokens after the last point (a question that is
    being read, the answer) are read whole and do not count; at a point the window moves on, and what it leaves is
    indexed.

    `index=exact` computes every product, as SCBench does. `ivf` and `hnsw` are faiss's, one per KV head on the host;
    keys and queries of another device are copied there (written, never run on a GPU). The paper's own graph, whose
    links come from the prompt's queries, is not in faiss: `hnsw` links keys to keys. Stretches of fewer than `scan`
    tokens are scanned whatever the index; a record names what was really searched. A search takes queries `[G, D]`
    (`each`: `[G, g, D]`) among keys `[G, n, D]` and finds `[G, k]` (`[G, g, k]`) tokens.

    Memory O(n) and the index (a float32 copy of the keys, and links), prefill O(n²), decode O(search + k + sinks +
    window) per token. Defaults are SCBench's; the paper's speed is measured with `index=hnsw k=100`. A budget keeps the
    proportion of sinks, window and k; one in bytes makes an index of random keys for each k that it tries.
    """

    uses_budget: ClassVar[bool] = True
    stages: ClassVar[tuple[str, ...]] = ("loading",)
    needs_dense: ClassVar[bool] = True

    k: int = 4096
    sinks: int = 128
    window: int = 512
    group: str = "mean"
    index: str = "exact"
    scan: int = 1024
    nlist: float = 0.015
    nprobe: float = 0.2
    m: int = 16
    ef_construction: int = 100
    ef_search: int = 128

    def __post_init__(self) -> None:
        if self.k < 1 or min(self.sinks, self.window, self.scan) < 0:
            raise ScbenchError(
                f"retrieval_attention: k={self.k}, sinks={self.sinks}, window={self.window}, scan={self.scan}: "
                "k must be >= 1, the others >= 0"
            )
        for name, known in (("group", GROUPS), ("index", INDEXES)):
            if getattr(self, name) not in known:
                found = getattr(self, name)
                raise ScbenchError(f"retrieval_attention: {name}={found}: expected one of {', '.join(known)}")
        for name, share in (("nlist", self.nlist), ("nprobe", self.nprobe)):
            if not 0 < share <= 1:
                raise ScbenchError(f"retrieval_attention: {name}={share}: expected a share, above 0 and at most 1")
        if self.m < 2 or self.ef_construction < 1 or self.ef_search < 1:
            raise ScbenchError(
                f"retrieval_attention: m={self.m}, ef_construction={self.ef_construction}, "
                f"ef_search={self.ef_search}: m must be >= 2, the others >= 1"
            )

    def with_tokens(self, tokens: int) -> Self:
        """Sinks, window and k in their proportion, `tokens` together; at least one token is searched for."""
        whole = self.sinks + self.window + self.k
        sinks, window = (part * tokens // whole for part in (self.sinks, self.window))
        return replace(self, sinks=sinks, window=window, k=tokens - sinks - window)

    def lossless(self) -> Self:
        """Everything is read."""
        return replace(self, index="exact", k=2**40)

    def nominal(self, base: Base) -> float:
        """The tokens that are read."""
        return min(1.0, (self.sinks + self.window + self.k) / max(1, base.tokens))

    @property
    def grows(self) -> bool:
        """Later tokens are indexed too."""
        return True

    def idle(self, base: Base) -> bool:
        """Sinks, window and k cover the base."""
        return self.sinks + self.window + self.k >= base.tokens

    def load(self, cache: Cache, layer: Layer, base: Base) -> Segment:
        """An index beside the same KV."""
        if not isinstance(cache, DenseSegment):
            raise TypeError("retrieval_attention indexes a dense cache")
        together = self.group == "mean"
        rule = Indexing(self.sinks, self.window, self.k, together, self._recipe(), self.scan, layer.group)
        return IndexedSegment.of(cache, rule)

    def _recipe(self) -> Recipe:
        recipes: dict[str, Recipe] = {
            "exact": Exact(),
            "ivf": Ivf(self.nlist, self.nprobe),
            "hnsw": Hnsw(self.m, self.ef_construction, self.ef_search),
        }
        return recipes[self.index]
