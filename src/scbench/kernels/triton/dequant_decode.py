"""Attention of few rows over rounded keys and values, fused. Never run on a GPU; see the package.

Codes become numbers in registers, tile by tile; the layout is described in `packing`.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from scbench.kernels.packing import PackedKeys, PackedValues
from scbench.kernels.spec import Partial
from scbench.kernels.triton import splits

NAME = "triton_dequant_decode"
TILE = 64  # tokens at a time
LEAST = 16  # rows that a product of tiles must have


def attend(q_GND: Tensor, keys: PackedKeys, values: PackedValues, v_rest_GkD: Tensor | None, scale: float) -> Partial:
    """As `quantised.attend`."""
    heads, rows, dim = q_GND.shape
    tokens = keys.tokens
    if tokens == 0:
        return Partial.nothing(q_GND)
    rest = q_GND.new_zeros(heads, 1, dim) if v_rest_GkD is None else v_rest_GkD
    inputs = [
        tensor if tensor[0].is_contiguous() else tensor.contiguous()  # heads may lie apart
        for tensor in (
            *(keys.code_GnD, keys.scale_GmD, keys.low_GmD),
            *(values.code_Gnd, values.scale_Gnm, values.low_Gnm),
            rest,
        )
    ]
    tiles = triton.cdiv(tokens, TILE)
    parts = splits.count(heads, tiles)
    out_SGND = torch.empty(parts, heads, rows, dim, dtype=torch.float32, device=q_GND.device)
    lse_SGN = torch.empty(parts, heads, rows, dtype=torch.float32, device=q_GND.device)
    _kernel[(heads, parts)](
        q_GND.contiguous(),
        *inputs,
        out_SGND,
        lse_SGN,
        *(tensor.stride(0) for tensor in inputs),
        heads,
        rows,
        tokens,
        values.tokens,
        scale,
        triton.cdiv(tiles, parts),
        K_BITS=keys.bits,
        K_GROUP=keys.group,
        V_BITS=values.bits,
        V_GROUP=values.group,
        V_BYTES=values.code_Gnd.shape[2],
        V_GROUPS=values.scale_Gnm.shape[2],
        DIM=dim,
        WIDE=max(LEAST, triton.next_power_of_2(dim)),
        ROWS=max(LEAST, triton.next_power_of_2(rows)),
        TILE=TILE,
    )
    return splits.joined(out_SGND, lse_SGN, q_GND.dtype)


@triton.jit  # type: ignore[untyped-decorator]
def _kernel(
    q: Any,
    k_code: Any,
    k_scale: Any,
    k_low: Any,
    v_code: Any,
    v_scale: Any,
    v_low: Any,
    v_rest: Any,
    out: Any,
    lse: Any,
    k_code_head: Any,
    k_scale_head: Any,
    k_low_head: Any,
    v_code_head: Any,
    v_scale_head: Any,
    v_low_head: Any,
    v_rest_head: Any,
    heads: Any,
    rows: Any,
    tokens: Any,
    packed: Any,
    scale: Any,
    tiles: Any,
    K_BITS: tl.constexpr,
    K_GROUP: tl.constexpr,
    V_BITS: tl.constexpr,
    V_GROUP: tl.constexpr,
    V_BYTES: tl.constexpr,
    V_GROUPS: tl.constexpr,
    DIM: tl.constexpr,
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    TILE: tl.constexpr,
) -> None:
    """All rows of a KV head over `tiles` tiles of tokens."""
    K_EACH: tl.constexpr = 8 // K_BITS
    V_EACH: tl.constexpr = 8 // V_BITS
    head = tl.program_id(0).to(tl.int64)
    part = tl.program_id(1)
    row = tl.arange(0, ROWS)
    d = tl.arange(0, WIDE)[None, :]
    held = (row < rows)[:, None] & (d < DIM)
    query = tl.load(q + (head * rows + row)[:, None] * DIM + d, mask=held, other=0.0).to(tl.float32) * scale
    top = tl.full((ROWS,), float("-inf"), tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    acc = tl.zeros((ROWS, WIDE), tl.float32)
    for tile in range(part * tiles, (part + 1) * tiles):
        token = tile * TILE + tl.arange(0, TILE)
        t = token[:, None].to(tl.int64)
        read = (t < tokens) & (d < DIM)
        byte = tl.load(k_code + head * k_code_head + t // K_EACH * DIM + d, mask=read, other=0).to(tl.int32)
        code = ((byte >> (t % K_EACH * K_BITS).to(tl.int32)) & ((1 << K_BITS) - 1)).to(tl.float32)
        by = tl.load(k_scale + head * k_scale_head + t // K_GROUP * DIM + d, mask=read, other=0.0).to(tl.float32)
        low = tl.load(k_low + head * k_low_head + t // K_GROUP * DIM + d, mask=read, other=0.0).to(tl.float32)
        score = tl.dot(query, tl.trans(code * by + low), input_precision="ieee")
        score = tl.where((token < tokens)[None, :], score, float("-inf"))
        high = tl.maximum(top, tl.max(score, 1))
        base = tl.where(high == float("-inf"), 0.0, high)  # as long as no token was in reach
        weight = tl.exp(score - base[:, None])
        keep = tl.exp(top - base)
        read = (t < packed) & (d < DIM)
        byte = tl.load(v_code + head * v_code_head + t * V_BYTES + d // V_EACH, mask=read, other=0).to(tl.int32)
        code = ((byte >> (d % V_EACH * V_BITS)) & ((1 << V_BITS) - 1)).to(tl.float32)
        at = t * V_GROUPS + d // V_GROUP
        by = tl.load(v_scale + head * v_scale_head + at, mask=read, other=0.0).to(tl.float32)
        low = tl.load(v_low + head * v_low_head + at, mask=read, other=0.0).to(tl.float32)
        read = (t >= packed) & (t < tokens) & (d < DIM)
        rest = tl.load(v_rest + head * v_rest_head + (t - packed) * DIM + d, mask=read, other=0.0).to(tl.float32)
        acc = acc * keep[:, None] + tl.dot(weight, code * by + low + rest, input_precision="ieee")
        total = total * keep + tl.sum(weight, 1)
        top = high
    seen_any = total > 0
    total = tl.where(seen_any, total, 1.0)
    acc = acc / total[:, None]
    at = (part * heads + head) * rows + row
    tl.store(out + at[:, None] * DIM + d, acc, mask=held)
    tl.store(lse + at, tl.where(seen_any, top + tl.log(total), float("-inf")), mask=row < rows)
