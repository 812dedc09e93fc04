"""Sparse prefill: execute a plan, and say how much of the causal triangle it computes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from scbench.kernels import band_prefill, slash_prefill
from scbench.kernels.plans import Band, Plan, VerticalSlash

NAME = "sparse_prefill"
ENTRIES = 1 << 22  # of the table of blocks and columns held at once


def attend(q_HTD: Tensor, k_GLD: Tensor, v_GLD: Tensor, plan: Plan, scale: float, start: int, total: int) -> Tensor:
    """`out_HTD` of rows at logical positions [start, start + T) of a prompt of `total` tokens.

    Keys and values are those of positions 0 to start + T. A key that no row reads may hold anything; those that
    only some rows read must be finite. Memory grows with T and with what the plan lists, never with T · L.
    """
    if isinstance(plan, Band):
        return band_prefill.attend(q_HTD, k_GLD, v_GLD, plan, scale, start, total)
    return slash_prefill.attend(q_HTD, k_GLD, v_GLD, plan, scale, start, total)


def density(plan: Plan, start: int, stop: int, total: int) -> float:
    """The share of the causal entries of rows [start, stop) that the plan reads, the mean over its heads."""
    causal = (start + 1 + stop) * (stop - start) // 2
    if isinstance(plan, Band):
        return _band_entries(plan, start, stop, total) / causal
    heads = plan.column_HV.shape[0]
    return sum(_slash_entries(plan, head, start, stop) for head in range(heads)) / (heads * causal)


def _band_entries(plan: Band, start: int, stop: int, total: int) -> int:
    row_T = torch.arange(start, stop)
    near_T = (row_T + 1).clamp(max=plan.window)
    far_T = (row_T + 1 - plan.window).clamp(min=0, max=plan.sinks)
    return int(torch.where(row_T >= total - plan.last, row_T + 1, near_T + far_T).sum())


def _slash_entries(plan: VerticalSlash, head: int, start: int, stop: int) -> int:
    """Keys on diagonals by prefix sums over distances; then, per block of rows, the columns off the diagonals."""
    block = plan.block
    covered = slash_prefill.reach(plan, head, stop)
    device = covered.device
    below = F.pad(covered.cumsum(0), (1, 0))  # how many distances below each place are covered
    row_T = torch.arange(start, stop, device=device)
    first_T = row_T // block * block
    entries = int((below[first_T + block] - below[first_T - row_T + block - 1]).sum())
    column_V = slash_prefill.columns(plan, head, stop)
    first_B = torch.arange(start // block * block, stop, block, device=device)
    step = max(1, ENTRIES // max(1, len(column_V)))
    for first_C in (first_B[at : at + step] for at in range(0, len(first_B), step)):
        low_C1 = first_C.clamp(min=start)[:, None]
        rows_CV = (first_C + block).clamp(max=stop)[:, None] - torch.maximum(low_C1, column_V)  # rows at or below
        free_CV = ~covered[(first_C[:, None] - column_V + block - 1).clamp(min=0)]
        entries += int((rows_CV.clamp(min=0) * free_CV).sum())
    return entries
