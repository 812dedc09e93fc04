"""Heads of a layer that read in different ways: each kind is executed for its heads, and the results put together."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

import torch
from torch import Tensor

from scbench.kernels.plans import ByHead, Simple


def attend(
    q_HTD: Tensor, k_GLD: Tensor, v_GLD: Tensor, plan: ByHead, run: Callable[[Tensor, Tensor, Tensor, Simple], Tensor]
) -> Tensor:
    """`out_HTD`; `run` executes the plan of some query heads that share one KV head.

    Taken KV head by KV head, since the heads of a part may be any: no keys are copied.
    """
    group = q_HTD.shape[0] // k_GLD.shape[0]
    out_HTD = torch.empty_like(q_HTD, memory_format=torch.contiguous_format)
    for heads, part in plan.parts:
        for kv_head, found in groupby(range(len(heads)), key=lambda place: heads[place] // group):
            places, kv = list(found), slice(kv_head, kv_head + 1)
            own = [heads[place] for place in places]
            out_HTD[own] = run(q_HTD[own], k_GLD[kv], v_GLD[kv], part.only(places))
    return out_HTD
