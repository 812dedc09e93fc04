"""Sparse prefill through compiled FlexAttention: a plan becomes a list of blocks and a rule for what is in them.

For a whole prompt, or rows that see everything before them: on the CPU the compiled operator gives no log-sum-exp,
so nothing can be merged with its result. Every pair of a kind of plan and a shape is compiled anew, 7 to 25 s on two
cores. On the CPU a band gains by it, but less than from `sparse_prefill`; scattered columns lose (at 16K tokens and a
density of a tenth three times as slow as dense), since hardly a block is without one and each has its rule evaluated.
"""

from __future__ import annotations

import functools
import importlib.util
import shutil
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from scbench.kernels import slash_prefill
from scbench.kernels.plans import Band, Plan, VerticalSlash

NAME = "flex"
BLOCK = 128  # rows and keys of a block
SHAPES = 64  # that one process may compile

Rule = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def eligible(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether this kernel can be compiled for tensors of this kind: the CPU needs g++, a GPU needs triton."""
    tool = shutil.which("g++") if device.type == "cpu" else importlib.util.find_spec("triton")
    return tool is not None and dtype in (torch.float32, torch.bfloat16, torch.float16)


def attend(
    q_HTD: Tensor,
    k_GLD: Tensor,
    v_GLD: Tensor,
    plan: Plan,
    scale: float,
    start: int,
    total: int,
    *,
    compiled: bool = True,
) -> Tensor:
    """As `sparse_prefill.attend`. Uncompiled it gives the same, dense and in memory T · L: for tests."""
    stop = start + q_HTD.shape[1]
    mask = block_mask(plan, start, stop, total, q_HTD.device)
    unread_GL1 = ~_read(plan, start, stop, total, q_HTD.device).reshape(
        -1, max(1, _heads(plan) // k_GLD.shape[0]), stop
    )
    unread_GL1 = unread_GL1.all(1).unsqueeze(-1)
    if unread_GL1.any():  # some lie in blocks that are read in part, and a weight of 0 would not stop their infinities
        k_GLD, v_GLD = k_GLD.masked_fill(unread_GL1, 0.0), v_GLD.masked_fill(unread_GL1, 0.0)
    run = _compiled() if compiled else flex_attention
    out_1HTD: Tensor = run(
        q_HTD.unsqueeze(0), k_GLD.unsqueeze(0), v_GLD.unsqueeze(0), block_mask=mask, scale=scale, enable_gqa=True
    )
    return out_1HTD[0]


@functools.cache
def _compiled() -> Any:
    """One kernel for each shape: with shapes left open the C++ that torch 2.13 makes does not always compile.

    Beyond the limit of shapes it raises, rather than run uncompiled and hold T · L scores.
    """
    options: dict[str, Any] = {"dynamic": False, "fullgraph": True, "recompile_limit": SHAPES}  # torch's stubs lag
    return torch.compile(flex_attention, **options)


def block_mask(plan: Plan, start: int, stop: int, total: int, device: torch.device) -> BlockMask:
    """FlexAttention's form of a plan for rows [start, stop)."""
    some_HQK, full_HQK = blocks(plan, start, stop, total, device)
    return BlockMask.from_kv_blocks(
        *_listed(some_HQK & ~full_HQK),
        *_listed(full_HQK),
        BLOCK_SIZE=BLOCK,
        mask_mod=_rule(plan, start, stop, total, device),
        seq_lengths=(stop - start, stop),
        compute_q_blocks=False,  # only a backward pass needs them
    )


def blocks(plan: Plan, start: int, stop: int, total: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """`[H, Q, K]` twice: blocks of which something may be read, and those of which every row reads everything."""
    low_Q1 = torch.arange(start, stop, BLOCK, device=device)[:, None]
    high_Q1 = (low_Q1 + BLOCK - 1).clamp(max=stop - 1)  # the last row, as the first and last key below
    first_K = torch.arange(0, stop, BLOCK, device=device)
    last_K = first_K + BLOCK - 1
    causal_QK, before_QK = first_K <= high_Q1, last_K <= low_Q1
    if isinstance(plan, Band):
        near_QK, inside_QK = low_Q1 - last_K < plan.window, high_Q1 - first_K < plan.window
        some_QK = near_QK | (first_K < plan.sinks) | (high_Q1 >= total - plan.last)
        full_QK = inside_QK | (last_K < plan.sinks) | (low_Q1 >= total - plan.last)
        return (some_QK & causal_QK).unsqueeze(0), (full_QK & before_QK).unsqueeze(0)
    some, full = [], []
    for head in range(plan.column_HV.shape[0]):
        covered = slash_prefill.reach(plan, head, stop).to(device)
        below = torch.cat([covered.new_zeros(1, dtype=torch.int64), covered.cumsum(0)])  # covered before each place
        column_K = torch.zeros(len(first_K), dtype=torch.bool, device=device)
        column_K[slash_prefill.columns(plan, head, stop).to(device) // BLOCK] = True
        some_QK, full_QK = column_K & causal_QK, before_QK
        for step in range(0, BLOCK + plan.block, plan.block):  # the plan's own blocks of rows in each of ours
            begin_Q1 = (low_Q1 + step) // plan.block * plan.block
            inside_Q1 = begin_Q1 <= high_Q1
            near_QK = (begin_Q1 - last_K + plan.block - 1).clamp(min=0, max=len(covered))
            far_QK = (begin_Q1 - first_K + plan.block).clamp(min=0, max=len(covered))
            count_QK = below[far_QK] - below[near_QK]
            some_QK = some_QK | ((count_QK > 0) & causal_QK & inside_Q1)
            full_QK = full_QK & ((count_QK == BLOCK) | ~inside_Q1)
        some.append(some_QK)
        full.append(full_QK)
    return torch.stack(some), torch.stack(full)


def _listed(block_HQK: Tensor) -> tuple[Tensor, Tensor]:
    """Per block of rows, how many blocks of keys, and which; the rest of the list is not read."""
    index_1HQK = block_HQK.to(torch.int8).argsort(dim=-1, descending=True, stable=True).to(torch.int32).unsqueeze(0)
    return block_HQK.sum(-1, dtype=torch.int32).unsqueeze(0), index_1HQK


def _rule(plan: Plan, start: int, stop: int, total: int, device: torch.device) -> Rule:
    """Whether a row reads a key. Numbers are kept in tensors: as Python's they would be compiled into the kernel."""
    if isinstance(plan, Band):
        first, window, sinks, dense = torch.tensor([start, plan.window, plan.sinks, total - plan.last], device=device)

        def band(batch: Tensor, head: Tensor, row: Tensor, key: Tensor) -> Tensor:
            row = row + first
            read: Tensor = ((row - key < window) | (key < sinks) | (row >= dense)) & (key <= row)
            return read

        return band
    heads = range(plan.column_HV.shape[0])
    covered_HR = torch.stack([slash_prefill.reach(plan, head, stop) for head in heads]).to(device)
    column_HL = _column_table(plan, stop, device)
    row_T = torch.arange(start, stop, device=device)
    place_T = row_T // plan.block * plan.block + plan.block - 1  # of key 0 in the table of distances

    def slash(batch: Tensor, head: Tensor, row: Tensor, key: Tensor) -> Tensor:
        place = (place_T[row] - key).clamp(min=0)
        return (covered_HR[head, place] | column_HL[head, key]) & (key <= row_T[row])

    return slash


def _column_table(plan: VerticalSlash, stop: int, device: torch.device) -> Tensor:
    """`[H, L]`: whether a key is a column."""
    column_HL = torch.zeros(plan.column_HV.shape[0], stop, dtype=torch.bool, device=device)
    for head in range(plan.column_HV.shape[0]):
        column_HL[head, slash_prefill.columns(plan, head, stop).to(device)] = True
    return column_HL


def _heads(plan: Plan) -> int:
    return 1 if isinstance(plan, Band) else plan.column_HV.shape[0]


def _read(plan: Plan, start: int, stop: int, total: int, device: torch.device) -> Tensor:
    """`[H, L]`: whether any row of [start, stop) reads a key."""
    key_L = torch.arange(stop, device=device)
    if isinstance(plan, Band):
        near_L = (key_L < plan.sinks) | (key_L > start - plan.window)
        return (near_L | (stop > total - plan.last)).unsqueeze(0)
    read_HL = _column_table(plan, stop, device)
    block = plan.block
    first, last = start // block * block, (stop - 1) // block * block
    for head in range(plan.column_HV.shape[0]):
        covered = slash_prefill.reach(plan, head, stop).to(device)
        steps = torch.nn.functional.pad(covered, (block, -len(covered) % block)).reshape(-1, block)
        count = steps.cumsum(0).flatten()  # of this distance and those whole blocks nearer
        far_L = last - key_L + 2 * block - 1
        near_L = (first - key_L + block - 1).clamp(min=0)  # the nearest is one block further
        read_HL[head] |= count[far_L] > torch.where(first - key_L + block - 1 >= 0, count[near_L], 0)
    return read_HL
