"""Rows under a mask on the CPU: ATen's flash attention with a bias, in blocks of rows so that the bias stays small."""

from __future__ import annotations

import torch
from torch import Tensor

from scbench.kernels import batched
from scbench.kernels.spec import Partial

NAME = "aten_flash_cpu_masked"
ENTRIES = 1 << 24  # of a bias held at once: 64 MiB in float32


def attend(q_GND: Tensor, k_GLD: Tensor, v_GLD: Tensor, mask_GNL: Tensor, scale: float) -> Partial:
    """As `reference.attend` without a cap, where `torch_cpu` is eligible; G of the mask may be 1.

    Keys must be finite, seen or not.
    """
    if k_GLD.shape[1] == 0:
        return Partial.nothing(q_GND)
    block = max(1, ENTRIES // (mask_GNL.shape[0] * k_GLD.shape[1]))
    k_G1LD, v_G1LD = k_GLD.unsqueeze(1), v_GLD.unsqueeze(1)
    parts = [
        batched.attend(q.unsqueeze(1), k_G1LD, v_G1LD, scale, mask)
        for q, mask in zip(torch.split(q_GND, block, dim=1), torch.split(mask_GNL, block, dim=1), strict=True)
    ]
    if len(parts) == 1:
        return Partial(parts[0].out_BHND.squeeze(1), parts[0].lse_BHN.squeeze(1))
    out_G1ND, lse_G1N = torch.cat([p.out_BHND for p in parts], dim=2), torch.cat([p.lse_BHN for p in parts], dim=2)
    return Partial(out_G1ND.squeeze(1), lse_G1N.squeeze(1))
