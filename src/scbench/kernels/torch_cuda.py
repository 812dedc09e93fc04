"""ATen's flash attention for CUDA, which gives the log-sum-exp that merging needs. Never run on a GPU yet.

The operator is private to torch, so nothing outside this module names it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scbench.kernels.spec import Partial

NAME = "aten_flash_cuda"
WIDEST = 256  # channels of a head


def eligible(device: torch.device, dtype: torch.dtype, softcap: float | None = None) -> bool:
    """Whether this kernel runs on tensors of this kind; it has no soft cap, and no float32."""
    return softcap is None and device.type == "cuda" and dtype in (torch.bfloat16, torch.float16)


def attend(q_GND: Tensor, k_GLD: Tensor, v_GLD: Tensor, scale: float) -> Partial:
    """Attention of N rows over all L keys per KV head, without a mask."""
    return Partial(*_flash(q_GND, k_GLD, v_GLD, scale, causal=False))


def attend_causal(q_HTD: Tensor, k_GTD: Tensor, v_GTD: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Causal attention of T tokens over themselves, grouped-query heads: `(out_HTD, lse_HT)`."""
    group = q_HTD.shape[0] // k_GTD.shape[0]  # the new tokens' keys are few: they may be repeated
    k_HTD, v_HTD = (x_GTD.repeat_interleave(group, dim=0) for x_GTD in (k_GTD, v_GTD))
    return _flash(q_HTD, k_HTD, v_HTD, scale, causal=True)


def _flash(q_HND: Tensor, k_HLD: Tensor, v_HLD: Tensor, scale: float, causal: bool) -> tuple[Tensor, Tensor]:
    out_1HND, lse_1HN, *_ = torch.ops.aten._scaled_dot_product_flash_attention(
        *(x.unsqueeze(0) for x in (q_HND, k_HLD, v_HLD)), is_causal=causal, scale=scale
    )
    return out_1HND[0], lse_1HN[0].float()
