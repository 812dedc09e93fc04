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
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from scbench.kernels import flex_masks
from scbench.kernels.plans import Simple

NAME = "flex"
BLOCK = 128  # rows and keys of a block
SHAPES = 64  # that one process may compile


def eligible(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether this kernel can be compiled for tensors of this kind: the CPU needs g++, a GPU needs triton."""
    tool = shutil.which("g++") if device.type == "cpu" else importlib.util.find_spec("triton")
    return tool is not None and dtype in (torch.float32, torch.bfloat16, torch.float16)


def attend(
    q_HTD: Tensor,
    k_GLD: Tensor,
    v_GLD: Tensor,
    plan: Simple,
    scale: float,
    start: int,
    total: int,
    *,
    compiled: bool = True,
) -> Tensor:
    """As `sparse_prefill.attend`. Uncompiled it gives the same, dense and in memory T · L: for tests."""
    stop = start + q_HTD.shape[1]
    mask = block_mask(plan, start, stop, total, q_HTD.device)
    read_HL = flex_masks.read(plan, start, stop, total, q_HTD.device)
    read_GgL = read_HL.reshape(-1, max(1, read_HL.shape[0] // k_GLD.shape[0]), stop)
    unread_GL1 = ~read_GgL.any(1).unsqueeze(-1)
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


def block_mask(plan: Simple, start: int, stop: int, total: int, device: torch.device) -> BlockMask:
    """FlexAttention's form of a plan for rows [start, stop)."""
    some_HQK, full_HQK = flex_masks.blocks(plan, start, stop, total, device, BLOCK)
    return BlockMask.from_kv_blocks(
        *_listed(some_HQK & ~full_HQK),
        *_listed(full_HQK),
        BLOCK_SIZE=BLOCK,
        mask_mod=flex_masks.rule(plan, start, stop, total, device),
        seq_lengths=(stop - start, stop),
        compute_q_blocks=False,  # only a backward pass needs them
    )


def _listed(block_HQK: Tensor) -> tuple[Tensor, Tensor]:
    """Per block of rows, how many blocks of keys, and which; the rest of the list is not read."""
    index_1HQK = block_HQK.to(torch.int8).argsort(dim=-1, descending=True, stable=True).to(torch.int32).unsqueeze(0)
    return block_HQK.sum(-1, dtype=torch.int32).unsqueeze(0), index_1HQK
