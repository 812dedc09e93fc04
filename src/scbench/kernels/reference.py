"""The plain kernel: all scores at once, in float32. It defines what the others must equal."""

from __future__ import annotations

import torch
from torch import Tensor

from scbench.kernels.plans import Plan
from scbench.kernels.spec import Partial

NAME = "reference"


def attend(
    q_GND: Tensor, k_GLD: Tensor, v_GLD: Tensor, mask_GNL: Tensor | None, scale: float, softcap: float | None = None
) -> Partial:
    """Attention of N rows over L keys per KV head; `mask_GNL` (or `[1, N, L]`) is True where a key is seen."""
    score_GNL = torch.matmul(q_GND.float(), k_GLD.float().transpose(1, 2)) * scale
    if softcap is not None:
        score_GNL = torch.tanh(score_GNL / softcap) * softcap
    if mask_GNL is not None:
        score_GNL = score_GNL.masked_fill(~mask_GNL, float("-inf"))
    lse_GN = torch.logsumexp(score_GNL, dim=-1)
    seen_GN = torch.isfinite(lse_GN)
    weight_GNL = torch.exp(score_GNL - torch.where(seen_GN, lse_GN, 0.0).unsqueeze(-1))
    out_GND = torch.matmul(weight_GNL, v_GLD.float())
    return Partial(out_GND.to(q_GND.dtype), lse_GN)


def planned(q_HTD: Tensor, k_GLD: Tensor, v_GLD: Tensor, plan: Plan, scale: float, start: int, total: int) -> Tensor:
    """`out_HTD` of rows [start, start + T) of a prompt of `total` tokens, which read what the plan says."""
    heads, rows, dim = q_HTD.shape
    kv_heads, keys = k_GLD.shape[:2]
    mask_HTL = plan.mask(start, start + rows, total, q_HTD.device).expand(heads, -1, -1)
    part = attend(q_HTD.reshape(kv_heads, -1, dim), k_GLD, v_GLD, mask_HTL.reshape(kv_heads, -1, keys), scale)
    return part.out_GND.reshape(heads, rows, dim)
