"""Attention in blocks of query rows: what `reference` gives, in bounded memory and with fewer passes, on any device."""

from __future__ import annotations

import torch
from torch import Tensor

from scbench.kernels.spec import Partial

NAME = "blockwise"
SCORES = 1 << 24  # scores held at once: 64 MiB in float32


def attend(
    q_GND: Tensor, k_GLD: Tensor, v_GLD: Tensor, mask_GNL: Tensor | None, scale: float, softcap: float | None = None
) -> Partial:
    """As `reference.attend`; each exponential is taken once, and weights are not written out a second time."""
    heads, rows, _ = q_GND.shape
    block = max(1, SCORES // max(1, heads * k_GLD.shape[1]))
    if rows <= block:
        return _attend(q_GND, k_GLD, v_GLD, mask_GNL, scale, softcap)
    parts = [
        _attend(
            q_GND[:, start : start + block],
            k_GLD,
            v_GLD,
            None if mask_GNL is None else mask_GNL[:, start : start + block],
            scale,
            softcap,
        )
        for start in range(0, rows, block)
    ]
    out_GND = torch.cat([part.out_GND for part in parts], dim=1)
    return Partial(out_GND, torch.cat([part.lse_GN for part in parts], dim=1))


def _attend(
    q_GND: Tensor, k_GLD: Tensor, v_GLD: Tensor, mask_GNL: Tensor | None, scale: float, softcap: float | None
) -> Partial:
    score_GNL = torch.matmul(q_GND.float() * scale, k_GLD.float().transpose(1, 2))
    if softcap is not None:
        score_GNL = score_GNL.div_(softcap).tanh_().mul_(softcap)
    if mask_GNL is not None:
        score_GNL.masked_fill_(~mask_GNL, -torch.inf)
    if score_GNL.shape[-1] == 0:
        return Partial.nothing(q_GND)
    top_GN1 = score_GNL.amax(dim=-1, keepdim=True)
    top_GN1 = torch.where(top_GN1 == -torch.inf, 0.0, top_GN1)  # of a row that sees nothing
    weight_GNL = score_GNL.sub_(top_GN1).exp_()
    total_GN1 = weight_GNL.sum(dim=-1, keepdim=True)
    out_GND = torch.matmul(weight_GNL, v_GLD.float()).div_(torch.where(total_GN1 == 0, 1.0, total_GN1))
    return Partial(out_GND.to(q_GND.dtype), (total_GN1.log() + top_GN1).squeeze(-1))
