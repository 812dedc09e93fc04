"""Plans: what a sparse prefill reads, as data. A method makes one per layer, a kernel executes it.

Rows are the queries of a prompt at logical positions i, keys have positions j <= i.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Band:
    """A-shape: row i reads the first `sinks` keys and those with i - j < `window`. The same for every head.

    The `last` rows of the prompt, if any, read everything (Tri-shape).
    """

    sinks: int
    window: int
    last: int = 0

    def mask(self, start: int, stop: int, total: int, device: torch.device) -> Tensor:
        """`[1, stop - start, stop]`: True where rows [start, stop) of a prompt of `total` tokens read."""
        row_T1 = torch.arange(start, stop, device=device)[:, None]
        key_L = torch.arange(stop, device=device)
        near_TL = (row_T1 - key_L < self.window) | (key_L < self.sinks) | (row_T1 >= total - self.last)
        return (near_TL & (key_L <= row_T1)).unsqueeze(0)

    def only(self, places: Sequence[int]) -> Band:
        """The plan of these heads alone."""
        return self


@dataclass(frozen=True)
class VerticalSlash:
    """MInference's pattern, per query head: `column_HV` are key positions, `offset_HS` distances i - j, ascending.

    A row reads every column, and for every offset o the block of `block` keys that begins at b - o, where b is the
    multiple of `block` at or below the row: diagonals are rounded to blocks, as in the authors' kernel (whose
    conversion lets a run of neighbouring diagonals grow by whole blocks; here it is the union). Unused places hold -1.
    """

    column_HV: Tensor
    offset_HS: Tensor
    block: int = 64

    def mask(self, start: int, stop: int, total: int, device: torch.device) -> Tensor:
        """`[H, stop - start, stop]`: True where rows [start, stop) read."""
        heads = self.column_HV.shape[0]
        row_T1 = torch.arange(start, stop, device=device)[:, None]
        key_L = torch.arange(stop, device=device)
        mask_HTL = torch.zeros(heads, stop - start, stop, dtype=torch.bool, device=device)
        reach_TL = row_T1 // self.block * self.block - key_L  # a key is read if o - block < reach <= o
        low, high = int(reach_TL.min()), int(reach_TL.max())
        place_N = (reach_TL - low).flatten()
        for head in range(heads):
            column = self.column_HV[head]
            mask_HTL[head, :, column[(column >= 0) & (column < stop)]] = True
            offset = self.offset_HS[head]
            offset = offset[offset >= 0]
            read = torch.zeros(high - low + 1, dtype=torch.bool, device=device)
            hit_N = (offset[:, None] - torch.arange(self.block, device=device) - low).flatten()
            read[hit_N[(hit_N >= 0) & (hit_N <= high - low)]] = True
            mask_HTL[head] |= read.index_select(0, place_N).reshape(reach_TL.shape)
        return mask_HTL & (key_L <= row_T1)

    def only(self, places: Sequence[int]) -> VerticalSlash:
        """The plan of these heads alone."""
        chosen = list(places)
        return replace(self, column_HV=self.column_HV[chosen], offset_HS=self.offset_HS[chosen])


@dataclass(frozen=True)
class BlockSparse:
    """Whole blocks, per query head: `block_HQK[h, q]` are the blocks of keys that the rows of block q read.

    Block n holds positions n · `block` up to (n + 1) · `block`, of rows as of keys. Within its own block a row reads
    the keys up to itself; blocks behind it are not read. Unused places hold -1.
    """

    block_HQK: Tensor
    block: int = 64

    def mask(self, start: int, stop: int, total: int, device: torch.device) -> Tensor:
        """`[H, stop - start, stop]`: True where rows [start, stop) read."""
        row_T, key_L = torch.arange(start, stop, device=device), torch.arange(stop, device=device)
        listed_HQK = self.listed(stop).to(device)
        mask_HTL = listed_HQK[:, row_T // self.block][:, :, key_L // self.block]
        return mask_HTL & (key_L <= row_T[:, None])

    def listed(self, stop: int) -> Tensor:
        """`[H, Q, Q]`: whether the rows of a block before position `stop` list a block of keys there."""
        blocks = -(-stop // self.block)
        block_HQK = self.block_HQK[:, :blocks]
        place_HQK = torch.where((block_HQK >= 0) & (block_HQK < blocks), block_HQK, blocks)
        found = torch.zeros(*place_HQK.shape[:2], blocks + 1, dtype=torch.bool, device=block_HQK.device)
        return found.scatter_(2, place_HQK, True)[..., :blocks]

    def only(self, places: Sequence[int]) -> BlockSparse:
        """The plan of these heads alone."""
        return replace(self, block_HQK=self.block_HQK[list(places)])


Simple = Band | VerticalSlash | BlockSparse


@dataclass(frozen=True)
class ByHead:
    """Heads that read in different ways: each part names its query heads, ascending, and the plan of these alone.

    Every head of the layer is in one part.
    """

    parts: tuple[tuple[tuple[int, ...], Simple], ...]

    def mask(self, start: int, stop: int, total: int, device: torch.device) -> Tensor:
        """`[H, stop - start, stop]`: True where rows [start, stop) read."""
        heads = sum(len(heads) for heads, _ in self.parts)
        mask_HTL = torch.zeros(heads, stop - start, stop, dtype=torch.bool, device=device)
        for part, plan in self.parts:
            mask_HTL[list(part)] = plan.mask(start, stop, total, device).expand(len(part), -1, -1)
        return mask_HTL


Plan = Simple | ByHead
