"""Rows that each attend to pages of their own, read where they lie. Never run on a GPU; see the package."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from scbench.kernels.spec import Partial
from scbench.kernels.triton import splits

NAME = "triton_paged_decode"
TILE = 64  # tokens at a time


def attend(
    q_GND: Tensor, k_GLD: Tensor, v_GLD: Tensor, page_GNP: Tensor, size: int, stop: int, scale: float
) -> Partial:
    """Row n of KV head g sees the tokens before `stop` of its pages; page p is tokens [p · size, (p + 1) · size).

    The pages of a row are distinct; places with -1 are unused. Other tokens are never read.
    """
    heads, rows, dim = q_GND.shape
    pages = page_GNP.shape[2]
    if pages == 0:
        return Partial.nothing(q_GND)
    tiles = triton.cdiv(pages * size, TILE)
    parts = splits.count(heads * rows, tiles)
    out_SGND = torch.empty(parts, heads, rows, dim, dtype=torch.float32, device=q_GND.device)
    lse_SGN = torch.empty(parts, heads, rows, dtype=torch.float32, device=q_GND.device)
    k_GLD, v_GLD = (t if t.stride(-1) == 1 else t.contiguous() for t in (k_GLD, v_GLD))
    _kernel[(heads * rows, parts)](
        q_GND.contiguous(),
        k_GLD,
        v_GLD,
        page_GNP.contiguous(),
        out_SGND,
        lse_SGN,
        *(k_GLD.stride(0), k_GLD.stride(1), v_GLD.stride(0), v_GLD.stride(1)),
        heads * rows,
        rows,
        pages,
        size,
        stop,
        scale,
        triton.cdiv(tiles, parts),
        DIM=dim,
        WIDE=triton.next_power_of_2(dim),
        TILE=TILE,
    )
    return splits.joined(out_SGND, lse_SGN, q_GND.dtype)


@triton.jit  # type: ignore[untyped-decorator]
def _kernel(
    q: Any,
    k: Any,
    v: Any,
    page: Any,
    out: Any,
    lse: Any,
    k_head: Any,
    k_token: Any,
    v_head: Any,
    v_token: Any,
    all_rows: Any,
    rows: Any,
    pages: Any,
    size: Any,
    stop: Any,
    scale: Any,
    tiles: Any,
    DIM: tl.constexpr,
    WIDE: tl.constexpr,
    TILE: tl.constexpr,
) -> None:
    """One row of one KV head over `tiles` tiles of its tokens, which are counted through its list of pages."""
    row = tl.program_id(0)
    part = tl.program_id(1)
    head = (row // rows).to(tl.int64)
    d = tl.arange(0, WIDE)
    query = tl.load(q + row * DIM + d, mask=d < DIM, other=0.0).to(tl.float32) * scale
    top = tl.full((), float("-inf"), tl.float32)
    total = tl.zeros((), tl.float32)
    acc = tl.zeros((WIDE,), tl.float32)
    for tile in range(part * tiles, (part + 1) * tiles):
        place = tile * TILE + tl.arange(0, TILE)
        number = tl.load(page + row * pages + place // size, mask=place < pages * size, other=-1).to(tl.int64)
        token = number * size + place % size
        seen = (number >= 0) & (token < stop)
        read = seen[:, None] & (d < DIM)[None, :]
        keys = tl.load(k + head * k_head + token[:, None] * k_token + d[None, :], mask=read, other=0.0)
        score = tl.where(seen, tl.sum(keys.to(tl.float32) * query[None, :], 1), float("-inf"))
        high = tl.maximum(top, tl.max(score, 0))
        base = tl.where(high == float("-inf"), 0.0, high)  # as long as nothing was seen
        weight = tl.exp(score - base)
        keep = tl.exp(top - base)
        values = tl.load(v + head * v_head + token[:, None] * v_token + d[None, :], mask=read, other=0.0)
        acc = acc * keep + tl.sum(values.to(tl.float32) * weight[:, None], 0)
        total = total * keep + tl.sum(weight, 0)
        top = high
    seen_any = total > 0
    total = tl.where(seen_any, total, 1.0)
    acc = acc / total
    at = part * all_rows + row
    tl.store(out + at * DIM + d, acc, mask=d < DIM)
    tl.store(lse + at, tl.where(seen_any, top + tl.log(total), float("-inf")))
