"""Attention of many blocks of rows in one call: every block has its own keys, mostly overlapping views of one tensor.

Besides `torch_cpu` this is the only module that names ATen's private flash operator for CPUs. It takes strided
views as they are, so a sliding window costs neither a copy of the keys nor a Python loop.

Shape letters: B blocks, H query heads over G KV heads, N rows of a block, L keys of a block, D head dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor

from scbench.kernels import blockwise, torch_cpu

ROWS = 512  # rows whose causal mask the plain path makes at once


class Blocks(NamedTuple):
    """Attention over a subset of the keys; a row that sees none has `out` 0 and `lse` -inf."""

    out_BHND: Tensor
    lse_BHN: Tensor


def windows(tensor_HLD: Tensor, first: int, blocks: int, step: int, length: int) -> Tensor:
    """`[B, H, length, D]`: views, overlapping or not, that begin at `first`, `first + step`, …"""
    heads, _, dim = tensor_HLD.shape
    by_head, by_row, by_dim = tensor_HLD.stride()
    offset = tensor_HLD.storage_offset() + first * by_row
    return tensor_HLD.as_strided((blocks, heads, length, dim), (step * by_row, by_head, by_row, by_dim), offset)


def attend(q_BHND: Tensor, k_BGLD: Tensor, v_BGLD: Tensor, scale: float, mask_BNL: Tensor | None = None) -> Blocks:
    """Rows see the keys of their block, or those where `mask_BNL` is True; B and N of the mask may be 1.

    Keys that only some rows of a block see must be finite: they are weighted with 0, not left out.
    """
    if not torch_cpu.eligible(q_BHND.device, q_BHND.dtype):
        return _plain(q_BHND, k_BGLD, v_BGLD, scale, mask_BNL)
    if mask_BNL is None:
        return _flash(q_BHND, k_BGLD, v_BGLD, scale)
    blocks, rows, keys = q_BHND.shape[0], q_BHND.shape[2], k_BGLD.shape[2]
    bias_B1NL = torch.zeros(mask_BNL.shape, dtype=q_BHND.dtype).masked_fill_(~mask_BNL, -torch.inf).unsqueeze(1)
    out_BHND, lse_BHN = _flash(q_BHND, k_BGLD, v_BGLD, scale, bias_B1NL.expand(blocks, 1, rows, keys))
    blind_B1N = ~mask_BNL.any(-1).unsqueeze(1)
    if blind_B1N.any():  # the operator leaves rows that see nothing undefined
        out_BHND = out_BHND.masked_fill(blind_B1N.unsqueeze(-1), 0.0)
        lse_BHN = lse_BHN.masked_fill(blind_B1N, -torch.inf)
    return Blocks(out_BHND, lse_BHN)


def attend_causal(q_BHND: Tensor, k_BGND: Tensor, v_BGND: Tensor, scale: float) -> Blocks:
    """Row n of a block sees its keys 0 to n."""
    if torch_cpu.eligible(q_BHND.device, q_BHND.dtype):
        return _flash(q_BHND, k_BGND, v_BGND, scale, causal=True)
    rows = q_BHND.shape[2]
    parts = []
    for start in range(0, rows, ROWS):
        stop = min(start + ROWS, rows)
        mask_NL = torch.ones(stop - start, stop, dtype=torch.bool, device=q_BHND.device).tril(start)
        keys = slice(0, stop)
        parts.append(
            _plain(q_BHND[:, :, start:stop], k_BGND[:, :, keys], v_BGND[:, :, keys], scale, mask_NL.unsqueeze(0))
        )
    return Blocks(torch.cat([part.out_BHND for part in parts], 2), torch.cat([part.lse_BHN for part in parts], 2))


def join(one: Blocks, other: Blocks) -> Blocks:
    """Two results over disjoint keys as one in float32: the rule of `merge`, in one pass over the outputs.

    With w = σ(l2 - l1), out = o1 + w · (o2 - o1). A row that sees no key in either keeps 0 and -inf.
    """
    out_BHND = torch.lerp(one.out_BHND.float(), other.out_BHND.float(), _weight(one, other))
    return Blocks(out_BHND, torch.logaddexp(one.lse_BHN, other.lse_BHN))


def join_all(parts: Sequence[Blocks], out_BHND: Tensor) -> None:
    """Write what any number of results over disjoint keys give together."""
    if not parts:
        out_BHND.zero_()
    elif len(parts) == 1 or out_BHND.dtype != torch.float32:
        out_BHND.copy_(reduce(join, parts).out_BHND)
    else:
        one, other = reduce(join, parts[:-1]), parts[-1]
        torch.lerp(one.out_BHND, other.out_BHND, _weight(one, other), out=out_BHND)


def _weight(one: Blocks, other: Blocks) -> Tensor:
    return torch.sigmoid(other.lse_BHN - one.lse_BHN).nan_to_num_(0.0).unsqueeze(-1)  # -inf less -inf is NaN


def _flash(
    q_BHND: Tensor, k_BGLD: Tensor, v_BGLD: Tensor, scale: float, bias: Tensor | None = None, causal: bool = False
) -> Blocks:
    out_BHND, lse_BHN = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        *(_dense_rows(tensor) for tensor in (q_BHND, k_BGLD, v_BGLD)), is_causal=causal, attn_mask=bias, scale=scale
    )
    return Blocks(out_BHND, lse_BHN.float())


def _dense_rows(tensor: Tensor) -> Tensor:
    """The operator takes the elements of a row to lie side by side."""
    return tensor if tensor.stride(-1) == 1 else tensor.contiguous()


def _plain(q_BHND: Tensor, k_BGLD: Tensor, v_BGLD: Tensor, scale: float, mask_BNL: Tensor | None) -> Blocks:
    blocks, heads, rows, dim = q_BHND.shape
    kv_heads, keys = k_BGLD.shape[1:3]
    group = heads // kv_heads
    if mask_BNL is not None:  # a batch entry of the plain kernel is a block and a KV head, its rows are g · N
        wide = mask_BNL.expand(blocks, rows, keys)[:, None, None].expand(blocks, kv_heads, group, rows, keys)
        mask_BNL = wide.reshape(blocks * kv_heads, group * rows, keys)
    part = blockwise.attend(
        q_BHND.reshape(blocks * kv_heads, group * rows, dim),
        k_BGLD.reshape(blocks * kv_heads, keys, dim),
        v_BGLD.reshape(blocks * kv_heads, keys, dim),
        mask_BNL,
        scale,
    )
    return Blocks(part.out_GND.reshape(blocks, heads, rows, dim), part.lse_GN.reshape(blocks, heads, rows))
