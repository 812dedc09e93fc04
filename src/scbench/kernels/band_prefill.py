"""Prefill through a band: sinks and a sliding window, in time proportional to what is read.

Three kinds of rows: those whose window still reaches the sinks read everything (as do the last rows, if the plan
says so) and are dense; all others read two disjoint ranges, the window and the sinks, joined by log-sum-exp. Window
rows go in blocks of 32 over the union of their windows (31 keys too many, masked): larger blocks waste more on the
masked corners than they gain, since ATen's operator splits short blocks into 32 rows anyway.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scbench.kernels import batched
from scbench.kernels.batched import Blocks
from scbench.kernels.plans import Band

BLOCK = 32  # rows of a window block
CHUNK = 1024  # rows at a time: their partial results reuse the same memory, so that few pages are faulted in


def attend(q_HTD: Tensor, k_GLD: Tensor, v_GLD: Tensor, plan: Band, scale: float, start: int, total: int) -> Tensor:
    """Rows at logical positions [start, start + T) of a prompt of `total` tokens over keys 0 to start + T."""
    stop = start + q_HTD.shape[1]
    dense = min(max(plan.window + plan.sinks, start), stop)  # below, the window reaches the sinks
    last = min(max(total - plan.last, dense), stop)
    out_HTD = torch.empty_like(q_HTD, memory_format=torch.contiguous_format)
    for low, high in ((start, dense), (last, stop)):
        if low < high:
            rows = slice(low - start, high - start)
            out_HTD[:, rows] = _dense(q_HTD[:, rows], k_GLD[:, :high], v_GLD[:, :high], scale)
    low = dense
    while low < last:
        rows_here = min(CHUNK, last - low)
        if rows_here > BLOCK:
            rows_here -= rows_here % BLOCK  # what is left over makes a block of its own
        rows = slice(low - start, low - start + rows_here)
        _near(q_HTD[:, rows], k_GLD, v_GLD, plan, scale, low, out_HTD[:, rows])
        low += rows_here
    return out_HTD


def entries(plan: Band, start: int, stop: int, total: int) -> float:
    """How many keys rows [start, stop) read, together."""
    row_T = torch.arange(start, stop)
    near_T = (row_T + 1).clamp(max=plan.window)
    far_T = (row_T + 1 - plan.window).clamp(min=0, max=plan.sinks)
    return float(torch.where(row_T >= total - plan.last, row_T + 1, near_T + far_T).sum())


def _dense(q_HTD: Tensor, k_GLD: Tensor, v_GLD: Tensor, scale: float) -> Tensor:
    """The last T rows of L tokens over everything before them."""
    before = k_GLD.shape[1] - q_HTD.shape[1]
    q_1HTD, k_1GLD, v_1GLD = (tensor.unsqueeze(0) for tensor in (q_HTD, k_GLD, v_GLD))
    part = batched.attend_causal(q_1HTD, k_1GLD[:, :, before:], v_1GLD[:, :, before:], scale)
    if before:
        part = batched.join(part, batched.attend(q_1HTD, k_1GLD[:, :, :before], v_1GLD[:, :, :before], scale))
    return part.out_BHND[0].to(q_HTD.dtype)


def _near(q_HRD: Tensor, k_GLD: Tensor, v_GLD: Tensor, plan: Band, scale: float, low: int, out_HRD: Tensor) -> None:
    """Rows from `low` on, in whole blocks (or one short one), whose window and sinks are disjoint."""
    size = min(BLOCK, q_HRD.shape[1])
    blocks = q_HRD.shape[1] // size
    keys = size + plan.window - 1
    row_N1 = torch.arange(size, device=q_HRD.device)[:, None]
    key_L = torch.arange(keys, device=q_HRD.device)  # key 0 is the first that row 0 sees
    mask_1NL = ((key_L >= row_N1) & (key_L < row_N1 + plan.window)).unsqueeze(0)
    begin = low - plan.window + 1
    near = batched.attend(
        batched.windows(q_HRD, 0, blocks, size, size),
        batched.windows(k_GLD, begin, blocks, size, keys),
        batched.windows(v_GLD, begin, blocks, size, keys),
        scale,
        mask_1NL if size > 1 else None,
    )
    parts = [near]
    if plan.sinks:
        sinks = slice(0, plan.sinks)  # without blocks: the operator is faster with many rows
        far = batched.attend(q_HRD.unsqueeze(0), k_GLD[:, sinks].unsqueeze(0), v_GLD[:, sinks].unsqueeze(0), scale)
        out_BHND = batched.windows(far.out_BHND[0], 0, blocks, size, size)
        lse_BHN = batched.windows(far.lse_BHN[0].unsqueeze(-1), 0, blocks, size, size).squeeze(-1)
        parts.append(Blocks(out_BHND, lse_BHN))
    batched.join_all(parts, batched.windows(out_HRD, 0, blocks, size, size))
