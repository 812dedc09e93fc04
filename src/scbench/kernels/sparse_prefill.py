"""Sparse prefill: execute a plan, and say how much of the causal triangle it computes."""

from __future__ import annotations

from types import ModuleType

from torch import Tensor

from scbench.kernels import band_prefill, block_prefill, slash_prefill
from scbench.kernels.plans import Band, BlockSparse, ByHead, Plan, Simple, VerticalSlash

NAME = "sparse_prefill"
KINDS: dict[type[Simple], ModuleType] = {
    Band: band_prefill,
    VerticalSlash: slash_prefill,
    BlockSparse: block_prefill,
}


def attend(q_HTD: Tensor, k_GLD: Tensor, v_GLD: Tensor, plan: Simple, scale: float, start: int, total: int) -> Tensor:
    """`out_HTD` of rows at logical positions [start, start + T) of a prompt of `total` tokens.

    Keys and values are those of positions 0 to start + T. A key that no row reads may hold anything; those that
    only some rows read must be finite. Memory grows with T and with what the plan lists, never with T · L.
    """
    out_HTD: Tensor = KINDS[type(plan)].attend(q_HTD, k_GLD, v_GLD, plan, scale, start, total)
    return out_HTD


def density(plan: Plan, start: int, stop: int, total: int) -> float:
    """The share of the causal entries of rows [start, stop) that the plan reads, the mean over its heads."""
    if isinstance(plan, ByHead):
        heads = sum(len(part) for part, _ in plan.parts)
        return sum(len(part) * density(own, start, stop, total) for part, own in plan.parts) / heads
    causal = (start + 1 + stop) * (stop - start) // 2
    entries: float = KINDS[type(plan)].entries(plan, start, stop, total)
    return entries / causal
