"""Prefill through columns and rounded diagonals. Never run on a GPU; see the package.

Every block of rows reads the same diagonals relative to its start, so the host lists them once per head, without
overlaps and in tiles; columns are gathered, except those that a diagonal has already.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from scbench.kernels import slash_prefill
from scbench.kernels.plans import VerticalSlash
from scbench.kernels.triton import interpreted

NAME = "triton_vertical_slash"
TILE = 64  # keys at a time
LEAST = 16  # rows that a product of tiles must have


def eligible(plan: VerticalSlash) -> bool:
    """Whether the plan's blocks are tiles that Triton can multiply."""
    return plan.block >= LEAST and plan.block & (plan.block - 1) == 0


def attend(
    q_HTD: Tensor, k_GLD: Tensor, v_GLD: Tensor, plan: VerticalSlash, scale: float, start: int, total: int
) -> Tensor:
    """As `sparse_prefill.attend`."""
    heads, tokens, dim = q_HTD.shape
    stop, block = start + tokens, plan.block
    covered_HR = torch.stack([slash_prefill.reach(plan, head, stop) for head in range(heads)])
    tile_HSC = _tiles(covered_HR, block)
    columns = [slash_prefill.columns(plan, head, stop) for head in range(heads)]
    column_HV = torch.nn.utils.rnn.pad_sequence(columns, batch_first=True, padding_value=-1)
    q_HTD, k_GLD, v_GLD = (t if t.stride(-1) == 1 else t.contiguous() for t in (q_HTD, k_GLD, v_GLD))
    out_HTD = torch.empty(heads, tokens, dim, dtype=q_HTD.dtype, device=q_HTD.device)
    first = start // block
    _kernel[(triton.cdiv(stop, block) - first, heads)](
        q_HTD,
        k_GLD,
        v_GLD,
        out_HTD,
        tile_HSC.to(q_HTD.device),
        column_HV.contiguous(),
        covered_HR.to(torch.int8),
        *(stride for tensor in (q_HTD, k_GLD, v_GLD) for stride in tensor.stride()[:2]),
        heads // k_GLD.shape[0],
        tokens,
        start,
        first,
        tile_HSC.shape[1],
        column_HV.shape[1],
        covered_HR.shape[1],
        scale,
        DIM=dim,
        WIDE=max(LEAST, triton.next_power_of_2(dim)),
        BLOCK=block,
        TILE=TILE,
        WIDEN=interpreted() and q_HTD.dtype != torch.float32,  # the interpreter multiplies bfloat16's bits
    )
    return out_HTD


def _tiles(covered_HR: Tensor, block: int) -> Tensor:
    """`[H, S, 2]`: the farthest distance of a tile and its number of keys; 0 keys where a head has fewer tiles."""
    heads = []
    for covered_R in covered_HR.cpu():
        edge = torch.diff(covered_R.to(torch.int8), prepend=torch.zeros(1).char(), append=torch.zeros(1).char())
        tiles = []
        ends = zip((edge == 1).nonzero().flatten().tolist(), (edge == -1).nonzero().flatten().tolist(), strict=True)
        for near, behind in ends:
            for far in range(behind - 1, near - 1, -TILE):
                tiles.append((far - block + 1, min(TILE, far - near + 1)))
        heads.append(torch.tensor(tiles, dtype=torch.int32).reshape(-1, 2))
    return torch.nn.utils.rnn.pad_sequence(heads, batch_first=True)


@triton.jit  # type: ignore[untyped-decorator]
def _kernel(
    q: Any,
    k: Any,
    v: Any,
    out: Any,
    tile: Any,
    column: Any,
    covered: Any,
    q_head: Any,
    q_token: Any,
    k_head: Any,
    k_token: Any,
    v_head: Any,
    v_token: Any,
    group: Any,
    tokens: Any,
    start: Any,
    first: Any,
    tiles: Any,
    columns: Any,
    distances: Any,
    scale: Any,
    DIM: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
    TILE: tl.constexpr,
    WIDEN: tl.constexpr,
) -> None:
    """One block of rows of one query head: the diagonals' tiles, then the columns."""
    begin = (first + tl.program_id(0)) * BLOCK
    head = tl.program_id(1).to(tl.int64)
    row = begin + tl.arange(0, BLOCK)
    d = tl.arange(0, WIDE)[None, :]
    held = (row >= start)[:, None] & (row < start + tokens)[:, None] & (d < DIM)
    query = tl.load(q + head * q_head + (row - start)[:, None].to(tl.int64) * q_token + d, mask=held, other=0.0)
    if WIDEN:
        query = query.to(tl.float32)
    k += head // group * k_head
    v += head // group * v_head
    top = tl.full((BLOCK,), float("-inf"), tl.float32)
    total = tl.zeros((BLOCK,), tl.float32)
    acc = tl.zeros((BLOCK, WIDE), tl.float32)
    for s in range(tiles):
        far = tl.load(tile + (head * tiles + s) * 2)
        count = tl.load(tile + (head * tiles + s) * 2 + 1)
        if (count > 0) & (begin - far + count > 0):
            key = begin - far + tl.arange(0, TILE)
            read = (tl.arange(0, TILE) < count) & (key >= 0) & (key < start + tokens)
            top, total, acc = _step(
                query, k, v, key, read, row, k_token, v_token, scale, top, total, acc, DIM, WIDE, WIDEN
            )
    for s in range(tl.cdiv(columns, TILE)):
        place = s * TILE + tl.arange(0, TILE)
        key = tl.load(column + head * columns + place, mask=place < columns, other=-1).to(tl.int32)
        read = (key >= 0) & (key < begin + BLOCK) & (key < start + tokens)
        taken = tl.load(covered + head * distances + (begin - key + BLOCK - 1), mask=read, other=1)
        read = read & (taken == 0)
        if tl.max(read.to(tl.int32), 0) > 0:
            top, total, acc = _step(
                query, k, v, key, read, row, k_token, v_token, scale, top, total, acc, DIM, WIDE, WIDEN
            )
    acc = acc / tl.where(total > 0, total, 1.0)[:, None]
    to = out + (head * tokens + (row - start)[:, None]) * DIM + d
    tl.store(to, acc.to(out.dtype.element_ty), mask=held)


@triton.jit  # type: ignore[untyped-decorator]
def _step(
    query: Any,
    k: Any,
    v: Any,
    key: Any,
    read: Any,
    row: Any,
    k_token: Any,
    v_token: Any,
    scale: Any,
    top: Any,
    total: Any,
    acc: Any,
    DIM: tl.constexpr,
    WIDE: tl.constexpr,
    WIDEN: tl.constexpr,
) -> Any:
    """One tile of keys: those to `read`, each seen from its own row on."""
    d = tl.arange(0, WIDE)[None, :]
    at = key[:, None].to(tl.int64)
    here = read[:, None] & (d < DIM)
    keys = tl.load(k + at * k_token + d, mask=here, other=0.0)
    values = tl.load(v + at * v_token + d, mask=here, other=0.0)
    if WIDEN:
        keys, values = keys.to(tl.float32), values.to(tl.float32)
    score = tl.dot(query, tl.trans(keys), input_precision="ieee") * scale
    score = tl.where(read[None, :] & (key[None, :] <= row[:, None]), score, float("-inf"))
    high = tl.maximum(top, tl.max(score, 1))
    base = tl.where(high == float("-inf"), 0.0, high)  # as long as a row has seen nothing
    weight = tl.exp(score - base[:, None])
    keep = tl.exp(top - base)
    acc = acc * keep[:, None] + tl.dot(weight.to(values.dtype), values, input_precision="ieee")
    return high, total * keep + tl.sum(weight, 1), acc
