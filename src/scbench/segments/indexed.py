"""Indexed KV: everything is kept, and each new token reads sinks, a recent window, and what an index finds for it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scbench.kernels.choose import Kernels
from scbench.kernels.merge import merge
from scbench.kernels.spec import Partial, Spec, Visible
from scbench.segments.base import Footprint, Segment
from scbench.segments.dense import DenseSegment
from scbench.segments.nearest_index import NearestIndex, Recipe, Scan

FOUND = 1 << 24  # elements of keys that are gathered at once


@dataclass(frozen=True)
class Indexing:
    """Which tokens are read: the first `sinks`, the last `window`, and `k` of those between for each query.

    The `group` query heads of a KV head search `together`, with the mean of their queries, or each for itself.
    Stretches of fewer than `scan` tokens are scanned; longer ones have an index by `recipe`.
    """

    sinks: int
    window: int
    k: int
    together: bool
    recipe: Recipe
    scan: int = 0
    group: int = 1


@dataclass(frozen=True)
class Shelf:
    """An index of successive tokens, the first of which is number `start` of the segment."""

    start: int
    index: NearestIndex

    @property
    def stop(self) -> int:
        """One past its last token."""
        return self.start + self.index.tokens


class IndexedSegment(Segment):
    """Dense KV with an index of the keys between the first and the newest tokens.

    The KV itself is that of the dense segments it was made from (`parts`), by reference. At every point the window
    moves on, and tokens that it has left behind are indexed on a shelf of their own, beside the shelves that earlier
    segments go on using; a short last shelf is made anew with them. So a segment finds nothing that came later, and
    shelves are shared. The best of all shelves are read.
    """

    def __init__(self, parts: tuple[DenseSegment, ...], indexing: Indexing, shelves: tuple[Shelf, ...]) -> None:
        super().__init__(parts[0].start)
        self.parts = parts
        self.indexing = indexing
        self.shelves = shelves

    @classmethod
    def of(cls, dense: DenseSegment, indexing: Indexing) -> IndexedSegment:
        """A dense segment and its index."""
        return cls((dense,), indexing, _shelved((dense,), indexing, ()))

    @property
    def absorbs(self) -> bool:
        """New tokens are indexed once the window has left them."""
        return True

    @property
    def stop(self) -> int:
        """One past the last logical position."""
        return self.parts[-1].stop

    def absorb(self, fresh: DenseSegment) -> IndexedSegment:
        """All of the new tokens, which are the newest now."""
        parts = (*self.parts, fresh)
        return IndexedSegment(parts, self.indexing, _shelved(parts, self.indexing, self.shelves))

    def attend(self, q_GND: Tensor, visible: Visible, spec: Spec, kernels: Kernels) -> Partial:
        """Each row reads what it finds, exactly, beside sinks and window."""
        if not visible.covers(self.start, self.stop):
            raise RuntimeError("an indexed segment is read as it was at its point, and not in part")
        if self._reads_all:
            return merge([part.attend(q_GND, visible, spec, kernels) for part in self.parts])
        near = [(0, self.shelves[0].start), (self.shelves[-1].stop, self.stop - self.start)]
        parts = [
            kernels.full(q_GND, k_GLD, v_GLD, spec.scale)
            for low, high in near
            for _, k_GLD, v_GLD in _kv(self.parts, low, high)
        ]
        chosen_GNK = self.choose(q_GND, visible)
        kernels.used.update(shelf.index.name for shelf in self.shelves)
        each = visible.group if self.indexing.together and visible.tokens == 1 else 1  # rows that read the same tokens
        block = max(1, FOUND // (chosen_GNK[:, 0].numel() * q_GND.shape[2]) // each) * each
        blocks = zip(torch.split(q_GND, block, dim=1), torch.split(chosen_GNK, block, dim=1), strict=True)
        kv = [(part.k_GLD, part.v_GLD) for part in self.parts]
        found = [kernels.pages(q, kv, chosen[:, ::each], 1, spec.scale) for q, chosen in blocks]
        parts.append(Partial(torch.cat([f.out_GND for f in found], dim=1), torch.cat([f.lse_GN for f in found], dim=1)))
        return merge(parts)

    def reads(self, q_GND: Tensor, visible: Visible) -> Tensor:
        """Sinks, window, and what each row finds."""
        if self._reads_all:
            return super().reads(q_GND, visible)
        tokens = self.stop - self.start
        read_GNL = _marked(self.choose(q_GND, visible), tokens)
        read_GNL[..., : self.shelves[0].start] = True
        read_GNL[..., self.shelves[-1].stop :] = True
        return read_GNL

    def footprint(self, stop: int) -> Footprint:
        """All tokens and the index are stored; a token reads sinks, window, what it finds, and what the search reads.

        Query heads that search for themselves are counted as if none found what another one has found.
        """
        tokens = self.stop - self.start
        heads, _, dim = self.parts[0].k_GLD.shape
        token = 2 * heads * dim * self.parts[0].k_GLD.element_size()
        stored = tokens * token + sum(shelf.index.bytes for shelf in self.shelves)
        if self._reads_all:
            return Footprint(tokens, stored, tokens * token)
        queries = 1 if self.indexing.together else self.indexing.group
        found = min(self._indexed, queries * self.indexing.k)
        searched = sum(shelf.index.touched(queries, self.indexing.k) for shelf in self.shelves)
        return Footprint(tokens, stored, (tokens - self._indexed + found) * token + searched)

    def choose(self, q_GND: Tensor, visible: Visible) -> Tensor:
        """The numbers of the tokens that each row finds, best first: `[G, N, K]`; -1 where fewer are found."""
        heads, rows, dim = q_GND.shape
        together = self.indexing.together and visible.group > 1
        asked_GXD = q_GND
        if together:
            asked_GXD = q_GND.reshape(heads, -1, visible.group, visible.tokens, dim).mean(2).reshape(heads, -1, dim)
        found = [shelf.index.search(asked_GXD, self.indexing.k) for shelf in self.shelves]
        place_GXK = torch.cat(
            [
                one.place_GNK + shelf.start * (one.place_GNK >= 0)
                for shelf, one in zip(self.shelves, found, strict=True)
            ],
            dim=-1,
        )
        if len(found) > 1:
            score_GXK = torch.cat([one.score_GNK for one in found], dim=-1)
            best_GXK = score_GXK.topk(min(self.indexing.k, score_GXK.shape[-1]), dim=-1).indices
            place_GXK = place_GXK.gather(-1, best_GXK)
        if together:
            place_GBTK = place_GXK.reshape(heads, -1, 1, visible.tokens, place_GXK.shape[-1])
            return place_GBTK.expand(-1, -1, visible.group, -1, -1).reshape(heads, rows, -1)
        return place_GXK

    @property
    def _indexed(self) -> int:
        return self.shelves[-1].stop - self.shelves[0].start if self.shelves else 0

    @property
    def _reads_all(self) -> bool:
        return self.indexing.k >= self._indexed


def _shelved(parts: tuple[DenseSegment, ...], rule: Indexing, shelves: tuple[Shelf, ...]) -> tuple[Shelf, ...]:
    """The shelves with what the window has left behind since they were made."""
    start = shelves[-1].stop if shelves else rule.sinks
    stop = parts[-1].stop - parts[0].start - rule.window
    if stop <= start:
        return shelves
    if shelves and shelves[-1].index.tokens < rule.scan:
        start, shelves = shelves[-1].start, shelves[:-1]
    pieces = [k_GLD for _, k_GLD, _ in _kv(parts, start, stop)]
    return (*shelves, Shelf(start, rule.recipe.build(pieces) if stop - start >= rule.scan else Scan(pieces)))


def _kv(parts: tuple[DenseSegment, ...], low: int, high: int) -> list[tuple[int, Tensor, Tensor]]:
    """Where the tokens number `low` to `high` lie: (the first one's number, keys, values) part by part."""
    found = []
    for part in parts:
        begin = part.start - parts[0].start
        inside = slice(max(0, low - begin), min(part.stop - part.start, high - begin))
        if inside.start < inside.stop:
            found.append((begin + inside.start, part.k_GLD[:, inside], part.v_GLD[:, inside]))
    return found


def _marked(place_GNK: Tensor, tokens: int) -> Tensor:
    """True at these places; -1 is none."""
    marked_GNL = torch.zeros(*place_GNK.shape[:2], tokens + 1, dtype=torch.bool, device=place_GNK.device)
    return marked_GNL.scatter_(2, place_GNK.masked_fill(place_GNK < 0, tokens), True)[..., :tokens]
