"""Attention along a plan, in blocks of rows under its mask."""

from __future__ import annotations

import torch
from torch import Tensor

from scbench.kernels import reference
from scbench.kernels.plans import Plan

NAME = "sparse_prefill"
BLOCK = 64


def attend(q_HTD: Tensor, k_GLD: Tensor, v_GLD: Tensor, plan: Plan, scale: float, start: int, total: int) -> Tensor:
    """Rows [start, start + T) of a prompt of `total` tokens over its keys [0, start + T)."""
    heads, tokens, dim = q_HTD.shape
    kv_heads = k_GLD.shape[0]
    done = []
    for at in range(0, tokens, BLOCK):
        upto = min(at + BLOCK, tokens)
        stop = start + upto
        mask = plan.mask(start + at, stop, total, q_HTD.device).expand(heads, -1, -1)
        q_GND = q_HTD[:, at:upto].reshape(kv_heads, -1, dim)
        part = reference.attend(q_GND, k_GLD[:, :stop], v_GLD[:, :stop], mask.reshape(kv_heads, -1, stop), scale)
        done.append(part.out_GND.reshape(heads, upto - at, dim))
    return torch.cat(done, dim=1)


def density(plan: Plan, start: int, stop: int, total: int) -> float:
    """The share of the causal entries of rows [start, stop) that the plan computes, mean over heads."""
    computed, causal = 0.0, 0
    for at in range(start, stop, BLOCK):
        upto = min(at + BLOCK, stop)
        mask = plan.mask(at, upto, total, torch.device("cpu"))
        computed += float(mask.sum()) / mask.shape[0]
        causal += sum(range(at + 1, upto + 1))
    return computed / causal
