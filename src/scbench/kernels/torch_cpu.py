"""ATen's flash attention for CPUs, which gives the log-sum-exp that merging needs.

The operator is private to torch; besides this module only `batched` names it, for blocks and for masks (`masked`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from scbench.kernels.merge import merge
from scbench.kernels.spec import Partial

NAME = "aten_flash_cpu"
BLOCK = 32  # rows of which the operator makes one task per head
FROM = 512  # keys: from heads² times as many on, it pays to make an odd number of tasks even


def eligible(device: torch.device, dtype: torch.dtype, softcap: float | None = None) -> bool:
    """Whether this kernel runs on tensors of this kind; it has no soft cap."""
    return softcap is None and device.type == "cpu" and dtype in (torch.float32, torch.bfloat16, torch.float16)


def attend(q_GND: Tensor, k_GLD: Tensor, v_GLD: Tensor, scale: float) -> Partial:
    """Attention of N rows over all L keys per KV head, without a mask."""
    heads, keys = k_GLD.shape[:2]
    if heads % 2 and 1 < q_GND.shape[1] <= BLOCK and keys >= FROM * heads**2:
        return _halves(q_GND, k_GLD, v_GLD, scale)
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


def _halves(q_GND: Tensor, k_GLD: Tensor, v_GLD: Tensor, scale: float) -> Partial:
    """The same with both halves of the keys as a batch: of an odd number of tasks one keeps a thread waiting."""
    half = k_GLD.shape[1] // 2
    k_2GLD, v_2GLD = (
        torch.unflatten(_rows(tensor)[:, : 2 * half], 1, (2, half)).transpose(0, 1) for tensor in (k_GLD, v_GLD)
    )
    q_2GND = _rows(q_GND).expand(2, -1, -1, -1)
    out_2GND, lse_2GN = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q_2GND, k_2GLD, v_2GLD, scale=scale)
    parts = [Partial(out_GND, lse_GN.float()) for out_GND, lse_GN in zip(out_2GND, lse_2GN, strict=True)]
    if 2 * half < k_GLD.shape[1]:
        parts.append(attend(q_GND, k_GLD[:, 2 * half :], v_GLD[:, 2 * half :], scale))
    return merge(parts)


def _heads(tensor: Tensor) -> Tensor:
    """With a batch dimension."""
    return _rows(tensor).unsqueeze(0)


def _rows(tensor: Tensor) -> Tensor:
    """Each row in one piece: the operator reads rows as if they were."""
    return tensor if tensor.stride(-1) == 1 else tensor.contiguous()
