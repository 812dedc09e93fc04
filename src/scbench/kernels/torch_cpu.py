"""ATen's flash attention for CPUs, which gives the log-sum-exp that merging needs.

The operator is private to torch; besides this module only `batched` names it. It is used where no mask is needed (its
masked form leaves rows that see nothing undefined); masked rests go to `blockwise`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scbench.kernels.spec import Partial

NAME = "aten_flash_cpu"


def eligible(device: torch.device, dtype: torch.dtype, softcap: float | None = None) -> bool:
    """Whether this kernel runs on tensors of this kind; it has no soft cap."""
    return softcap is None and device.type == "cpu" and dtype in (torch.float32, torch.bfloat16, torch.float16)


def attend(q_GND: Tensor, k_GLD: Tensor, v_GLD: Tensor, scale: float) -> Partial:
    """Attention of N rows over all L keys per KV head, without a mask."""
    out_1GND, lse_1GN = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        *(_heads(tensor) for tensor in (q_GND, k_GLD, v_GLD)), scale=scale
    )
    return Partial(out_1GND[0], lse_1GN[0].float())


def attend_causal(q_HTD: Tensor, k_GTD: Tensor, v_GTD: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Causal attention of T tokens over themselves, grouped-query heads: `(out_HTD, lse_HT)`."""
    out_1HTD, lse_1HT = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        *(_heads(tensor) for tensor in (q_HTD, k_GTD, v_GTD)), is_causal=True, scale=scale
    )
    return out_1HTD[0], lse_1HT[0].float()


def _heads(tensor: Tensor) -> Tensor:
    """With a batch dimension, and each row in one piece: the operator reads rows as if they were."""
    return (tensor if tensor.stride(-1) == 1 else tensor.contiguous()).unsqueeze(0)
