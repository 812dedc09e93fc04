"""Tails: the tokens that each branch has of its own, left-padded so that all end at the same column."""

from __future__ import annotations

import torch
from torch import Tensor

from scbench.kernels.choose import Kernels
from scbench.kernels.spec import Partial, Spec


class Tails:
    """Per layer the branches' own keys and values `[B, G, t, D]`; branch b starts at column `pad[b]`.

    `width` is the number of columns that all layers have filled; a forward pass adds to it when it is done.

    The first call of a layer may bring many tokens per branch, later ones bring one. What is given first is
    kept as it is; the buffer is made when the second token arrives.
    """

    def __init__(self, layers: int, pad: list[int], capacity: int) -> None:
        self.pad = pad
        self.width = 0
        self._capacity = capacity
        self._length = [0] * layers
        self._k: list[Tensor | None] = [None] * layers
        self._v: list[Tensor | None] = [None] * layers

    def layers(self) -> list[tuple[Tensor, Tensor]]:
        """Per layer (k_BGtD, v_BGtD)."""
        return [self._layer(layer) for layer in range(len(self._length))]

    def keep(self, rows: list[int]) -> None:
        """Only these branches go on."""
        index: dict[torch.device, Tensor] = {}
        for layer, (k, v) in enumerate(zip(self._k, self._v, strict=True)):
            if k is not None and v is not None:
                if k.device not in index:
                    index[k.device] = torch.tensor(rows, device=k.device)
                self._k[layer], self._v[layer] = k[index[k.device]], v[index[k.device]]
        self.pad = [self.pad[row] for row in rows]

    def spread(self, rows: list[int], batch: int) -> Tails:
        """These branches as the given rows of a larger batch, in which the others have no tokens yet."""
        pad = [self.width] * batch
        for row, own in zip(rows, self.pad, strict=True):
            pad[row] = own
        wide = Tails(len(self._length), pad, self._capacity)
        wide.width = self.width
        for layer, (k_BGtD, v_BGtD) in enumerate(self.layers()):
            index = torch.tensor(rows, device=k_BGtD.device)
            k, v = (held.new_zeros(batch, *held.shape[1:]).index_copy_(0, index, held) for held in (k_BGtD, v_BGtD))
            wide._k[layer], wide._v[layer], wide._length[layer] = k, v, self._length[layer]
        return wide

    def attend(
        self, layer: int, q_BHTD: Tensor, k_BGTD: Tensor, v_BGTD: Tensor, spec: Spec, kernels: Kernels
    ) -> Partial:
        """Add the new tokens, then each attends to its branch's tokens up to itself. Rows as in `attention.fold`."""
        self._append(layer, k_BGTD, v_BGTD)
        if q_BHTD.shape[2] == 1:
            return self._attend_one(layer, q_BHTD, spec, kernels)
        if self._length[layer] != q_BHTD.shape[2]:
            raise RuntimeError("several tokens at once can only start a tail")
        return self._attend_start(q_BHTD, k_BGTD, v_BGTD, spec, kernels)

    def _append(self, layer: int, k_BGTD: Tensor, v_BGTD: Tensor) -> None:
        held, needed = self._length[layer], self._length[layer] + k_BGTD.shape[2]
        self._length[layer] = needed
        k_past, v_past = self._k[layer], self._v[layer]
        if k_past is None or v_past is None:
            self._k[layer], self._v[layer] = k_BGTD, v_BGTD
            return
        if k_past.shape[2] < needed:
            k_past, v_past = (_grown(past, held, max(self._capacity, needed)) for past in (k_past, v_past))
            self._k[layer], self._v[layer] = k_past, v_past
        k_past[:, :, held:needed] = k_BGTD
        v_past[:, :, held:needed] = v_BGTD

    def _layer(self, layer: int) -> tuple[Tensor, Tensor]:
        k, v, length = self._k[layer], self._v[layer], self._length[layer]
        if k is None or v is None:
            raise RuntimeError(f"layer {layer} has no tail yet")
        return k[:, :, :length], v[:, :, :length]

    def _attend_one(self, layer: int, q_BHTD: Tensor, spec: Spec, kernels: Kernels) -> Partial:
        """One token per branch: every (branch, KV head) is a head of its own with g query rows."""
        k_BGtD, v_BGtD = self._layer(layer)
        batch, heads, length, dim = k_BGtD.shape
        group = q_BHTD.shape[1] // heads
        q_XgD = q_BHTD.reshape(batch * heads, group, dim)
        k_XtD = k_BGtD.reshape(batch * heads, length, dim)
        v_XtD = v_BGtD.reshape(batch * heads, length, dim)
        low = [pad if spec.window is None else max(pad, length - spec.window) for pad in self.pad]
        if any(low):
            column_t = torch.arange(length, device=k_XtD.device)
            seen_Bt = column_t >= torch.tensor(low, device=k_XtD.device)[:, None]
            mask_Xgt = seen_Bt.repeat_interleave(heads, dim=0)[:, None].expand(-1, group, -1)
            part = kernels.masked(q_XgD, k_XtD, v_XtD, mask_Xgt, spec.scale)
        else:
            part = kernels.full(q_XgD, k_XtD, v_XtD, spec.scale)
        out_GND = part.out_GND.reshape(batch, heads, group, dim).transpose(0, 1).reshape(heads, -1, dim)
        lse_GN = part.lse_GN.reshape(batch, heads, group).transpose(0, 1).reshape(heads, -1)
        return Partial(out_GND, lse_GN)

    def _attend_start(self, q_BHTD: Tensor, k_BGTD: Tensor, v_BGTD: Tensor, spec: Spec, kernels: Kernels) -> Partial:
        """Branch by branch, its own tokens only: no row is spent on padding and no mask is needed."""
        batch, heads, tokens, dim = q_BHTD.shape
        out_BHTD = torch.zeros_like(q_BHTD)
        lse_BHT = torch.zeros(batch, heads, tokens, dtype=torch.float32, device=q_BHTD.device)
        for row, pad in enumerate(self.pad):
            own = (q_BHTD[row, :, pad:], k_BGTD[row, :, pad:], v_BGTD[row, :, pad:])
            out_BHTD[row, :, pad:], lse_BHT[row, :, pad:] = _causal(*own, spec, kernels)
        kv_heads = k_BGTD.shape[1]
        out_GND = out_BHTD.reshape(batch, kv_heads, -1, tokens, dim).transpose(0, 1)
        lse_GN = lse_BHT.reshape(batch, kv_heads, -1, tokens).transpose(0, 1)
        return Partial(out_GND.reshape(kv_heads, -1, dim), lse_GN.reshape(kv_heads, -1))


def _causal(q_HTD: Tensor, k_GTD: Tensor, v_GTD: Tensor, spec: Spec, kernels: Kernels) -> tuple[Tensor, Tensor]:
    heads, tokens, dim = q_HTD.shape
    if spec.window is None or tokens <= spec.window:
        return kernels.causal(q_HTD, k_GTD, v_GTD, spec.scale)
    kv_heads = k_GTD.shape[0]
    column_T = torch.arange(tokens, device=q_HTD.device)
    distance_TT = column_T[:, None] - column_T
    band_TT = (distance_TT >= 0) & (distance_TT < spec.window)
    mask_1NT = band_TT.repeat(heads // kv_heads, 1).unsqueeze(0)
    part = kernels.masked(q_HTD.reshape(kv_heads, -1, dim), k_GTD, v_GTD, mask_1NT, spec.scale)
    return part.out_GND.reshape(heads, tokens, dim), part.lse_GN.reshape(heads, tokens)


def _grown(held: Tensor, length: int, capacity: int) -> Tensor:
    batch, heads, _, dim = held.shape
    buffer = held.new_empty(batch, heads, capacity, dim)
    buffer[:, :, :length] = held[:, :, :length]
    return buffer
