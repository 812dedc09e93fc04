"""Attention in blocks of query rows: the same arithmetic as `reference`, in bounded memory, on any device."""

from __future__ import annotations

import torch
from torch import Tensor

from scbench.kernels import reference
from scbench.kernels.spec import Partial

NAME = "blockwise"
SCORES = 1 << 24  # scores held at once: 64 MiB in float32


def attend(
    q_GND: Tensor, k_GLD: Tensor, v_GLD: Tensor, mask_GNL: Tensor | None, scale: float, softcap: float | None = None
) -> Partial:
    """As `reference.attend`."""
    heads, rows, _ = q_GND.shape
    block = max(1, SCORES // max(1, heads * k_GLD.shape[1]))
    if rows <= block:
        return reference.attend(q_GND, k_GLD, v_GLD, mask_GNL, scale, softcap)
    parts = [
        reference.attend(
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
