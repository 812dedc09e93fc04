"""MInference: a prefill along vertical lines and diagonals, or other patterns, that each head finds for itself."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Self

from scbench.errors import ScbenchError
from scbench.kernels.plans import Plan
from scbench.methods.base import PROMPT, Base, Layer, Method, Prompt
from scbench.methods.generation import minference_table
from scbench.methods.generation.minference_lines import Estimate
from scbench.methods.generation.minference_table import FALLBACK, VERTICAL_SLASH, Pattern, Table

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MInference(Method):
    """Dynamic sparse prefill (arXiv 2407.02490, §3.2 and Algorithms 2 and 3).

    Every query head follows a pattern. `vertical_and_slash`: the attention weights of the last `last` queries are
    summed per key (vertical) and per distance (slash); the `vertical` keys with the highest sums are read by every row,
    the first `first` of them always; the `slash` distances with the highest sums are read as diagonals, the nearest
    `near` always, in blocks of `block` keys. `stream_llm`: the first keys and the nearest. `block_sparse`: per block of
    rows, the blocks of keys whose mean has the highest product with the rows' mean query. The cache keeps all tokens;
    what comes after the base, and decoding, is dense.

    Without a table all heads follow `vertical_and_slash` with `vertical` and `slash`. `table` names one that comes with
    the package or a file (`minference_table`), which says the pattern of each head instead; a head that it lacks gets
    the authors' (1000, 6096).

    The last queries `[H, last, D]` and all keys `[G, n, D]` give weights `[H, last, n]`, whose sums are `[H, n]` per
    key and per distance; chosen are `[H, vertical]` keys and `[H, slash]` distances.

    Memory O(n), prefill O(last·n) + O(n·(vertical + slash)), with block_sparse O((n / block)²) + O(n·blocks·block),
    decode O(n) per token. Defaults are the uniform pattern that SCBench uses for Llama-3.1-8B.
    """

    family_key: ClassVar[str] = "minference"
    stages: ClassVar[tuple[str, ...]] = ("generation",)
    horizon: ClassVar[str] = PROMPT
    files: ClassVar[tuple[str, ...]] = ("table",)

    vertical: int = 512
    slash: int = 2048
    last: int = 64
    first: int = 30
    near: int = 100
    block: int = 64
    table: str | None = None

    def __post_init__(self) -> None:
        if min(self.vertical, self.slash, self.last, self.block) < 1 or min(self.first, self.near) < 0:
            raise ScbenchError(
                f"minference: vertical={self.vertical}, slash={self.slash}, last={self.last}, block={self.block} must "
                f"be >= 1, first={self.first} and near={self.near} >= 0"
            )
        _ = self.patterns  # a table that cannot be read is a mistake here and not later

    @cached_property
    def patterns(self) -> Table | None:
        """What the table says; None without one."""
        return None if self.table is None else minference_table.read(self.table)

    def contents(self) -> Mapping[str, object]:
        """The table's content, and how many heads it leaves to the fallback."""
        return {} if self.patterns is None else {"table": self.patterns.hash, "fallback_heads": self.patterns.missing}

    def check_model(self, layers: int, heads: int) -> None:
        """A table is for one number of layers and heads."""
        if self.patterns is None:
            return
        self.patterns.check(layers, heads)
        if self.patterns.missing:
            _log.warning(
                "minference: table=%s has no pattern for %d of %d heads; they follow %s %s, as in the authors' code",
                *(self.table, self.patterns.missing, layers * heads, FALLBACK.kind, FALLBACK.sizes),
            )

    def lossless(self) -> Self:
        """Every key and every distance."""
        return replace(self, vertical=2**40, slash=2**40, table=None)

    def idle(self, base: Base) -> bool:
        """Every row would read every key."""
        table = self.patterns
        return self._uniform.covers(base.tokens, self.block) if table is None else table.covers(base.tokens, self.block)

    def prefill(self, prompt: Prompt, layer: Layer) -> Plan | None:
        """The lines that the last queries look along, and what the other patterns read."""
        heads = prompt.q_HTD.shape[0]
        patterns = (self._uniform,) * heads
        if self.patterns is not None:
            self.patterns.check(layer.count, heads)
            patterns = self.patterns.of(layer.index)
        return self.estimate(prompt).plan(patterns)

    def estimate(self, prompt: Prompt) -> Estimate:
        """What a layer's prompt says of where the patterns lie."""
        return Estimate(prompt, self.last, self.first, self.near, self.block)

    @property
    def _uniform(self) -> Pattern:
        return Pattern(VERTICAL_SLASH, (self.vertical, self.slash))
