"""What FlexAttention is told of each kind of plan: which blocks hold what, the rule for single keys, the keys read."""

from __future__ import annotations

from collections.abc import Callable
from functools import singledispatch

import torch
import torch.nn.functional as F
from torch import Tensor

from scbench.kernels import slash_prefill
from scbench.kernels.plans import Band, BlockSparse, Simple, VerticalSlash

Rule = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
Pair = tuple[Tensor, Tensor]


@singledispatch
def blocks(plan: Simple, start: int, stop: int, total: int, device: torch.device, size: int) -> Pair:
    """`[H, Q, K]` twice: blocks of which something may be read, and those of which every row reads everything."""
    raise TypeError(f"no blocks for a plan of type {type(plan).__name__}")


@blocks.register
def _(plan: Band, start: int, stop: int, total: int, device: torch.device, size: int) -> Pair:
    low_Q1, high_Q1, first_K, last_K = _edges(start, stop, device, size)
    near_QK, inside_QK = low_Q1 - last_K < plan.window, high_Q1 - first_K < plan.window
    some_QK = near_QK | (first_K < plan.sinks) | (high_Q1 >= total - plan.last)
    full_QK = inside_QK | (last_K < plan.sinks) | (low_Q1 >= total - plan.last)
    return (some_QK & (first_K <= high_Q1)).unsqueeze(0), (full_QK & (last_K <= low_Q1)).unsqueeze(0)


@blocks.register
def _(plan: VerticalSlash, start: int, stop: int, total: int, device: torch.device, size: int) -> Pair:
    low_Q1, high_Q1, first_K, last_K = _edges(start, stop, device, size)
    causal_QK, before_QK = first_K <= high_Q1, last_K <= low_Q1
    some, full = [], []
    for head in range(plan.column_HV.shape[0]):
        covered = slash_prefill.reach(plan, head, stop).to(device)
        below = torch.cat([covered.new_zeros(1, dtype=torch.int64), covered.cumsum(0)])  # covered before each place
        column_K = torch.zeros(len(first_K), dtype=torch.bool, device=device)
        column_K[slash_prefill.columns(plan, head, stop).to(device) // size] = True
        some_QK, full_QK = column_K & causal_QK, before_QK
        for step in range(0, size + plan.block, plan.block):  # the plan's own blocks of rows in each of ours
            begin_Q1 = (low_Q1 + step) // plan.block * plan.block
            inside_Q1 = begin_Q1 <= high_Q1
            near_QK = (begin_Q1 - last_K + plan.block - 1).clamp(min=0, max=len(covered))
            far_QK = (begin_Q1 - first_K + plan.block).clamp(min=0, max=len(covered))
            count_QK = below[far_QK] - below[near_QK]
            some_QK = some_QK | ((count_QK > 0) & causal_QK & inside_Q1)
            full_QK = full_QK & ((count_QK == size) | ~inside_Q1)
        some.append(some_QK)
        full.append(full_QK)
    return torch.stack(some), torch.stack(full)


@blocks.register
def _(plan: BlockSparse, start: int, stop: int, total: int, device: torch.device, size: int) -> Pair:
    low_Q1, high_Q1, first_K, last_K = _edges(start, stop, device, size)
    listed_HQK = plan.listed(stop).to(device).tril()
    sums_HQK = F.pad(listed_HQK.long().cumsum(1).cumsum(2), (1, 0, 1, 0))  # of what lies before each place
    top_Q1, bottom_Q1 = low_Q1 // plan.block, high_Q1 // plan.block + 1
    left_K, right_K = first_K // plan.block, last_K.clamp(max=stop - 1) // plan.block + 1
    below_HQK, above_HQK = (
        sums_HQK[:, row_Q1, right_K] - sums_HQK[:, row_Q1, left_K] for row_Q1 in (bottom_Q1, top_Q1)
    )
    count_HQK = below_HQK - above_HQK
    full_HQK = count_HQK == (bottom_Q1 - top_Q1) * (right_K - left_K)
    return (count_HQK > 0) & (first_K <= high_Q1), full_HQK & (last_K <= low_Q1)


@singledispatch
def rule(plan: Simple, start: int, stop: int, total: int, device: torch.device) -> Rule:
    """Whether a row reads a key. Numbers are kept in tensors: as Python's they would be compiled into the kernel."""
    raise TypeError(f"no rule for a plan of type {type(plan).__name__}")


@rule.register
def _(plan: Band, start: int, stop: int, total: int, device: torch.device) -> Rule:
    first, window, sinks, dense = torch.tensor([start, plan.window, plan.sinks, total - plan.last], device=device)

    def band(batch: Tensor, head: Tensor, row: Tensor, key: Tensor) -> Tensor:
        row = row + first
        read: Tensor = ((row - key < window) | (key < sinks) | (row >= dense)) & (key <= row)
        return read

    return band


@rule.register
def _(plan: VerticalSlash, start: int, stop: int, total: int, device: torch.device) -> Rule:
    heads = range(plan.column_HV.shape[0])
    covered_HR = torch.stack([slash_prefill.reach(plan, head, stop) for head in heads]).to(device)
    column_HL = _column_table(plan, stop, device)
    row_T = torch.arange(start, stop, device=device)
    place_T = row_T // plan.block * plan.block + plan.block - 1  # of key 0 in the table of distances

    def slash(batch: Tensor, head: Tensor, row: Tensor, key: Tensor) -> Tensor:
        place = (place_T[row] - key).clamp(min=0)
        return (covered_HR[head, place] | column_HL[head, key]) & (key <= row_T[row])

    return slash


@rule.register
def _(plan: BlockSparse, start: int, stop: int, total: int, device: torch.device) -> Rule:
    listed_HQK = plan.listed(stop).to(device)
    row_T, block_L = torch.arange(start, stop, device=device), torch.arange(stop, device=device) // plan.block

    def block(batch: Tensor, head: Tensor, row: Tensor, key: Tensor) -> Tensor:
        return listed_HQK[head, block_L[row_T[row]], block_L[key]] & (key <= row_T[row])

    return block


@singledispatch
def read(plan: Simple, start: int, stop: int, total: int, device: torch.device) -> Tensor:
    """`[H, L]`: whether any row of [start, stop) reads a key; H is 1 where all heads read the same."""
    raise TypeError(f"no keys for a plan of type {type(plan).__name__}")


@read.register
def _(plan: Band, start: int, stop: int, total: int, device: torch.device) -> Tensor:
    key_L = torch.arange(stop, device=device)
    near_L = (key_L < plan.sinks) | (key_L > start - plan.window)
    return (near_L | (stop > total - plan.last)).unsqueeze(0)


@read.register
def _(plan: VerticalSlash, start: int, stop: int, total: int, device: torch.device) -> Tensor:
    key_L = torch.arange(stop, device=device)
    read_HL = _column_table(plan, stop, device)
    block = plan.block
    first, last = start // block * block, (stop - 1) // block * block
    for head in range(plan.column_HV.shape[0]):
        covered = slash_prefill.reach(plan, head, stop).to(device)
        steps = F.pad(covered, (block, -len(covered) % block)).reshape(-1, block)
        count = steps.cumsum(0).flatten()  # of this distance and those whole blocks nearer
        far_L = last - key_L + 2 * block - 1
        near_L = (first - key_L + block - 1).clamp(min=0)  # the nearest is one block further
        read_HL[head] |= count[far_L] > torch.where(first - key_L + block - 1 >= 0, count[near_L], 0)
    return read_HL


@read.register
def _(plan: BlockSparse, start: int, stop: int, total: int, device: torch.device) -> Tensor:
    listed_HQK = plan.listed(stop).to(device).tril()[:, start // plan.block :]
    return listed_HQK.any(1).repeat_interleave(plan.block, 1)[:, :stop]


def _edges(start: int, stop: int, device: torch.device, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of each block: the first and the last row (`[Q, 1]`), the first and the last key (`[K]`)."""
    low_Q1 = torch.arange(start, stop, size, device=device)[:, None]
    first_K = torch.arange(0, stop, size, device=device)
    return low_Q1, (low_Q1 + size - 1).clamp(max=stop - 1), first_K, first_K + size - 1


def _column_table(plan: VerticalSlash, stop: int, device: torch.device) -> Tensor:
    """`[H, L]`: whether a key is a column."""
    column_HL = torch.zeros(plan.column_HV.shape[0], stop, dtype=torch.bool, device=device)
    for head in range(plan.column_HV.shape[0]):
        column_HL[head, slash_prefill.columns(plan, head, stop).to(device)] = True
    return column_HL
