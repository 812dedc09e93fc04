"""One layer's attention for a batch of branches: the trunk's segments and the branches' tails, merged."""

from __future__ import annotations

import torch
from torch import Tensor

from scbench.engine.tails import Tails
from scbench.engine.trunk import Trunk
from scbench.kernels.choose import Kernels
from scbench.kernels.merge import merge
from scbench.kernels.spec import Spec, Visible


class BranchAttention:
    """The attention of one forward pass, called once per layer.

    Rows are the branches' new tokens. Row (b, t) at logical position `position_BT[b, t]` sees the trunk below
    `leaves[b]` and its own tail up to itself, all cut to the layer's window. For every KV head the query heads
    of its group, the branches and the tokens become rows of one attention, so the trunk is read once.
    """

    def __init__(self, trunk: Trunk, tails: Tails, leaves: list[int], position_BT: Tensor, kernels: Kernels) -> None:
        self._trunk = trunk
        self._tails = tails
        self._kernels = kernels
        group_rows = position_BT.numel()
        self._position_R = position_BT.reshape(group_rows)
        leaves_B1 = torch.tensor(leaves, device=position_BT.device)[:, None]
        self._hi_R = leaves_B1.expand_as(position_BT).reshape(group_rows)
        self._visible: dict[tuple[int | None, int], Visible] = {}

    def __call__(self, layer: int, q_BHTD: Tensor, k_BGTD: Tensor, v_BGTD: Tensor, scale: float) -> Tensor:
        """The layer's attention output `[B, T, H, D]`; the new keys and values join the tails."""
        spec = Spec(scale, self._trunk.shape.windows[layer])
        own = self._tails.attend(layer, q_BHTD, k_BGTD, v_BGTD, spec, self._kernels)
        segments = self._trunk.segments(layer)
        if segments:
            kv_heads = k_BGTD.shape[1]
            q_GND = fold(q_BHTD, kv_heads)
            visible = self._visible_for(spec.window, q_BHTD.shape[1] // kv_heads)
            past = [segment.attend(q_GND, visible, spec, self._kernels) for segment in segments]
            own = merge([*past, own])
        return unfold(own.out_GND, q_BHTD.shape)

    def _visible_for(self, window: int | None, group: int) -> Visible:
        """Visibility depends on the window only, so layers of one kind share it."""
        key = (window, group)
        if key not in self._visible:
            if window is None:
                lo_R = torch.zeros_like(self._position_R)
            else:
                lo_R = torch.minimum((self._position_R - window + 1).clamp(min=0), self._hi_R)
            self._visible[key] = Visible.of(lo_R.repeat(group), self._hi_R.repeat(group))
        return self._visible[key]


def fold(q_BHTD: Tensor, kv_heads: int) -> Tensor:
    """Query heads of a group, branches and tokens as rows of their KV head: `[G, g·B·T, D]`."""
    batch, heads, tokens, dim = q_BHTD.shape
    q_BGgTD = q_BHTD.reshape(batch, kv_heads, heads // kv_heads, tokens, dim)
    return q_BGgTD.permute(1, 2, 0, 3, 4).reshape(kv_heads, -1, dim)


def unfold(out_GND: Tensor, shape: torch.Size) -> Tensor:
    """The inverse of `fold`, in the order that the model's output projection reads: `[B, T, H, D]`."""
    batch, heads, tokens, dim = shape
    out_GgBTD = out_GND.reshape(out_GND.shape[0], -1, batch, tokens, dim)
    return out_GgBTD.permute(2, 3, 0, 1, 4).reshape(batch, tokens, heads, dim)
