"""Prefill through whole blocks of keys, in time proportional to what is read.

Per head, some blocks of rows at a time: the keys before them are copied side by side into one call, a block of rows as
a batch entry, and their own block, which alone is masked causally, is read where it lies; the two are joined by
log-sum-exp.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from scbench.kernels import batched
from scbench.kernels.batched import Blocks
from scbench.kernels.plans import BlockSparse

KEYS = 1 << 15  # copied at once: they stay in the cache


def attend(
    q_HTD: Tensor, k_GLD: Tensor, v_GLD: Tensor, plan: BlockSparse, scale: float, start: int, total: int
) -> Tensor:
    """Rows at logical positions [start, start + T) over keys 0 to start + T; rows that read nothing give 0."""
    block, stop = plan.block, start + q_HTD.shape[1]
    first, behind = start // block, -stop % block
    before = start - first * block
    q_HTD = F.pad(q_HTD, (0, 0, before, behind)) if before or behind else q_HTD
    k_GLD, v_GLD = (F.pad(x_GLD[:, :stop], (0, 0, 0, behind)) for x_GLD in (k_GLD, v_GLD))
    group = q_HTD.shape[0] // k_GLD.shape[0]
    blocks, step = q_HTD.shape[1] // block, max(1, KEYS // (block * max(1, plan.block_HQK.shape[2])))
    out_HTD = torch.empty_like(q_HTD, memory_format=torch.contiguous_format)
    for head in range(q_HTD.shape[0]):
        k_LD, v_LD = k_GLD[head // group], v_GLD[head // group]
        for low in range(0, blocks, step):
            high = min(low + step, blocks)
            rows = (slice(head, head + 1), slice(low * block, high * block))
            block_BK = plan.block_HQK[head, first + low : first + high].to(q_HTD.device)
            _rows(q_HTD[rows], k_LD, v_LD, block_BK, block, scale, first + low, out_HTD[rows])
    return out_HTD[:, before : stop - first * block]


def entries(plan: BlockSparse, start: int, stop: int, total: int) -> float:
    """How many keys rows [start, stop) read, together; the mean over the heads."""
    block, first = plan.block, start // plan.block
    listed_HQK = plan.listed(stop)[:, first:]
    own_Q = torch.arange(first, first + listed_HQK.shape[1], device=listed_HQK.device)
    low_Q, high_Q = (own_Q * block).clamp(min=start), ((own_Q + 1) * block).clamp(max=stop)
    rows_Q = high_Q - low_Q
    triangle_Q = (low_Q + high_Q + 1 - 2 * own_Q * block) * rows_Q // 2
    past_HQ = (listed_HQK & (torch.arange(listed_HQK.shape[2], device=own_Q.device) < own_Q[:, None])).sum(-1)
    itself_HQ = listed_HQK[:, torch.arange(len(own_Q), device=own_Q.device), own_Q]
    return float((past_HQ * block * rows_Q + itself_HQ * triangle_Q).sum()) / listed_HQK.shape[0]


def _rows(
    q_1RD: Tensor, k_LD: Tensor, v_LD: Tensor, block_BK: Tensor, block: int, scale: float, first: int, out_1RD: Tensor
) -> None:
    """The blocks of rows from block `first` on, whose lists are `block_BK`."""
    blocks = block_BK.shape[0]
    q_B1ND = batched.windows(q_1RD, 0, blocks, block, block)
    own_B1 = torch.arange(first, first + blocks, device=q_1RD.device)[:, None]
    past_BK = torch.where(block_BK < own_B1, block_BK, -1).sort(dim=1, descending=True).values
    past_BK = past_BK[:, : int((past_BK >= 0).sum(1).max())]
    parts = []
    if past_BK.shape[1]:
        parts.append(_past(q_B1ND, k_LD, v_LD, past_BK, block, scale))
    itself_B = (block_BK == own_B1).any(1)
    if itself_B.any():
        k_B1ND, v_B1ND = (
            batched.windows(x_LD.unsqueeze(0), first * block, blocks, block, block) for x_LD in (k_LD, v_LD)
        )
        parts.append(_seen(batched.attend_causal(q_B1ND, k_B1ND, v_B1ND, scale), itself_B))
    batched.join_all(parts, batched.windows(out_1RD, 0, blocks, block, block))


def _past(q_B1ND: Tensor, k_LD: Tensor, v_LD: Tensor, past_BK: Tensor, block: int, scale: float) -> Blocks:
    """Whole blocks before the rows' own; unused places come last."""
    used_BK = past_BK >= 0
    place_BK = torch.where(used_BK, past_BK, past_BK[:, :1].clamp(min=0))  # a block that is read, if one is: finite
    by_block = (x_LD.reshape(-1, block, x_LD.shape[1]) for x_LD in (k_LD, v_LD))
    k_B1LD, v_B1LD = (x_QND[place_BK].flatten(1, 2).unsqueeze(1) for x_QND in by_block)
    mask_B1L = None if used_BK.all() else used_BK.repeat_interleave(block, 1).unsqueeze(1)
    return _seen(batched.attend(q_B1ND, k_B1LD, v_B1LD, scale, mask_B1L), used_BK[:, 0])


def _seen(part: Blocks, seen_B: Tensor) -> Blocks:
    """The result of the blocks of rows that see these keys; the others see none of them."""
    blind_B11 = ~seen_B[:, None, None]
    return Blocks(
        part.out_BHND.masked_fill(blind_B11.unsqueeze(-1), 0.0), part.lse_BHN.masked_fill(blind_B11, -torch.inf)
    )
