"""Plans: what a sparse prefill reads, as data. A method makes one per layer, a kernel executes it.

Rows are the queries of a prompt at logical positions i, keys have positions j <= i.
"""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True)
class VerticalSlash:
    """MInference's pattern, per query head: `column_HV` are key positions, `offset_HS` distances i - j, ascending.

    A row reads every column, and for every offset o the block of `block` keys that begins at b - o, where b is the
    multiple of `block` at or below the row: diagonals are rounded to blocks, as the authors' kernel does. Unused
    places hold -1.
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
        for head in range(heads):
            column = self.column_HV[head]
            mask_HTL[head, :, column[(column >= 0) & (column < stop)]] = True
            offset = self.offset_HS[head]
            offset = offset[offset >= 0]
            low, high = int(reach_TL.min()), int(reach_TL.max())
            read = torch.zeros(high - low + 1, dtype=torch.bool, device=device)
            for shift in range(self.block):
                hit = offset - shift - low
                read[hit[(hit >= 0) & (hit <= high - low)]] = True
            mask_HTL[head] |= read[reach_TL - low]
        return mask_HTL & (key_L <= row_T1)


Plan = Band | VerticalSlash
