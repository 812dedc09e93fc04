"""Prefill through vertical columns and rounded diagonals, in time proportional to what is read.

Relative to its own start every block of rows reads the same diagonals, so a diagonal is one strided view of the keys
with the blocks as batch: no index lists. Per head and about 2,048 rows, up to four disjoint parts are joined by
log-sum-exp: the block's own keys (the only causal mask), long runs of diagonals as views, short ones copied side by
side into one call, and the columns, gathered once per head and masked where a diagonal has them already.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from scbench.kernels import batched
from scbench.kernels.batched import Blocks
from scbench.kernels.plans import VerticalSlash

CHUNK = 2048  # rows at a time: their partial results and copied keys stay in the cache
ENTRIES = 1 << 22  # of the table of blocks and columns that is held while they are counted
LONG = 256  # keys from which on a run of diagonals is read in place: joining one more part costs less than the copy


@dataclass(frozen=True)
class _Head:
    """What one query head reads; keys and values have `pad` rows of zeros in front and some behind.

    `own` says for a block's keys, and `run` for those before it (by their distance to the block's start, ascending
    and disjoint), whether a diagonal covers them; `covered` says it by distance, from 0.
    """

    k_1LD: Tensor
    v_1LD: Tensor
    pad: int
    block: int
    own_N: Tensor
    runs: list[tuple[int, int]]
    covered: Tensor
    column_V: Tensor
    k_1VD: Tensor
    v_1VD: Tensor


def attend(
    q_HTD: Tensor, k_GLD: Tensor, v_GLD: Tensor, plan: VerticalSlash, scale: float, start: int, total: int
) -> Tensor:
    """Rows at logical positions [start, start + T) over keys 0 to start + T; rows that read nothing give 0."""
    block, stop = plan.block, start + q_HTD.shape[1]
    step = max(1, CHUNK // block) * block
    first = start // block * block
    behind = -stop % block
    q_HTD = F.pad(q_HTD, (0, 0, start - first, behind)) if start > first or behind else q_HTD
    k_GLD, v_GLD = (F.pad(tensor[:, :stop], (0, 0, step, behind)) for tensor in (k_GLD, v_GLD))
    group = q_HTD.shape[0] // k_GLD.shape[0]
    out_HTD = torch.empty_like(q_HTD, memory_format=torch.contiguous_format)
    for number in range(q_HTD.shape[0]):
        kv = slice(number // group, number // group + 1)
        head = _head(k_GLD[kv], v_GLD[kv], step, plan, number, stop)
        for low in range(first, stop, step):
            rows = slice(low - first, min(low + step, stop + behind) - first)
            _rows(q_HTD[number : number + 1, rows], head, scale, low, out_HTD[number : number + 1, rows])
    return out_HTD[:, start - first : stop - first]


def entries(plan: VerticalSlash, start: int, stop: int, total: int) -> float:
    """How many keys rows [start, stop) read, together; the mean over the heads."""
    heads = plan.column_HV.shape[0]
    return sum(_entries(plan, head, start, stop) for head in range(heads)) / heads


def _entries(plan: VerticalSlash, head: int, start: int, stop: int) -> int:
    """Keys on diagonals by prefix sums over distances; then, per block of rows, the columns off the diagonals."""
    block = plan.block
    covered = reach(plan, head, stop)
    device = covered.device
    below = F.pad(covered.cumsum(0), (1, 0))  # how many distances below each place are covered
    row_T = torch.arange(start, stop, device=device)
    first_T = row_T // block * block
    found = int((below[first_T + block] - below[first_T - row_T + block - 1]).sum())
    column_V = columns(plan, head, stop)
    first_B = torch.arange(start // block * block, stop, block, device=device)
    step = max(1, ENTRIES // max(1, len(column_V)))
    for first_C in (first_B[at : at + step] for at in range(0, len(first_B), step)):
        low_C1 = first_C.clamp(min=start)[:, None]
        rows_CV = (first_C + block).clamp(max=stop)[:, None] - torch.maximum(low_C1, column_V)  # rows at or below
        free_CV = ~covered[(first_C[:, None] - column_V + block - 1).clamp(min=0)]
        found += int((rows_CV.clamp(min=0) * free_CV).sum())
    return found


def _head(k_1LD: Tensor, v_1LD: Tensor, pad: int, plan: VerticalSlash, head: int, stop: int) -> _Head:
    block = plan.block
    covered = reach(plan, head, stop)
    column_V = columns(plan, head, stop)
    runs: list[tuple[int, int]] = []
    for offset in sorted({int(o) for o in plan.offset_HS[head].tolist() if 0 < o < stop + block}):
        low = max(offset - block + 1, 1)
        if runs and low <= runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], offset)
        else:
            runs.append((low, offset))
    return _Head(
        k_1LD,
        v_1LD,
        pad,
        block,
        covered[:block].flip(0),
        runs,
        covered[block - 1 :],
        column_V,
        k_1LD[:, column_V + pad],
        v_1LD[:, column_V + pad],
    )


def reach(plan: VerticalSlash, head: int, stop: int) -> Tensor:
    """Whether a head's diagonals cover a key, by its distance to the start of the row's block: from 1 - block up."""
    block = plan.block
    offset_S = plan.offset_HS[head]
    offset_S = offset_S[(offset_S >= 0) & (offset_S < stop + block)]
    edge = torch.zeros(stop + 3 * block, dtype=torch.int64, device=offset_S.device)
    edge.index_add_(0, offset_S, torch.ones_like(offset_S, dtype=edge.dtype))  # place 0 is distance 1 - block
    edge.index_add_(0, offset_S + block, -torch.ones_like(offset_S, dtype=edge.dtype))
    return edge.cumsum(0)[: stop + block - 1] > 0


def columns(plan: VerticalSlash, head: int, stop: int) -> Tensor:
    """A head's columns before `stop`, ascending."""
    column_V = plan.column_HV[head]
    read = torch.zeros(stop, dtype=torch.bool, device=column_V.device)
    read[column_V[(column_V >= 0) & (column_V < stop)]] = True
    return read.nonzero().flatten()


def _rows(q_1RD: Tensor, head: _Head, scale: float, low: int, out_1RD: Tensor) -> None:
    """The blocks of rows from position `low` on."""
    block = head.block
    blocks = q_1RD.shape[1] // block
    q_B1ND = batched.windows(q_1RD, 0, blocks, block, block)
    first_B = torch.arange(low, low + blocks * block, block, device=q_1RD.device)
    parts = [
        *_own(q_B1ND, head, scale, low, first_B),
        *_diagonals(q_B1ND, head, scale, low, first_B),
        *_columns(q_B1ND, head, scale, low, first_B),
    ]
    batched.join_all(parts, batched.windows(out_1RD, 0, blocks, block, block))


def _own(q_B1ND: Tensor, head: _Head, scale: float, low: int, first_B: Tensor) -> list[Blocks]:
    """Keys of the rows' own block."""
    blocks, block = first_B.shape[0], head.block
    k_B1ND, v_B1ND = (batched.windows(t, head.pad + low, blocks, block, block) for t in (head.k_1LD, head.v_1LD))
    if head.own_N.all():
        return [batched.attend_causal(q_B1ND, k_B1ND, v_B1ND, scale)]
    read_BN = head.own_N.repeat(blocks)
    column_V = head.column_V[(head.column_V >= low) & (head.column_V < low + blocks * block)]
    read_BN[column_V - low] = True
    if not read_BN.any():
        return []
    read_BN = read_BN.reshape(blocks, block)
    unread_B1N1 = ~read_BN[:, None, :, None]  # a weight of 0 would not stop their infinities
    k_B1ND, v_B1ND = k_B1ND.masked_fill(unread_B1N1, 0.0), v_B1ND.masked_fill(unread_B1N1, 0.0)
    causal_NN = torch.ones(block, block, dtype=torch.bool, device=q_B1ND.device).tril()
    return [batched.attend(q_B1ND, k_B1ND, v_B1ND, scale, read_BN.unsqueeze(1) & causal_NN)]


def _diagonals(q_B1ND: Tensor, head: _Head, scale: float, low: int, first_B: Tensor) -> list[Blocks]:
    """Keys before the rows' block that a diagonal covers."""
    blocks, block = first_B.shape[0], head.block
    last = low + (blocks - 1) * block
    runs = [(near, min(far, last)) for near, far in head.runs if near <= last]
    short = [run for run in runs if run[1] - run[0] + 1 < LONG]
    parts = []
    for group in [[run] for run in runs if run[1] - run[0] + 1 >= LONG] + ([short] if short else []):
        views = [
            [batched.windows(t, head.pad + low - far, blocks, block, far - near + 1) for near, far in group]
            for t in (head.k_1LD, head.v_1LD)
        ]
        k_B1LD, v_B1LD = (view[0] if len(group) == 1 else torch.cat(view, 2) for view in views)
        mask_B1L = None
        if group[-1][1] > low:  # some of it lies before the beginning
            distance_L = torch.cat([torch.arange(far, near - 1, -1, device=q_B1ND.device) for near, far in group])
            mask_B1L = (distance_L <= first_B[:, None]).unsqueeze(1)
        parts.append(batched.attend(q_B1ND, k_B1LD, v_B1LD, scale, mask_B1L))
    return parts


def _columns(q_B1ND: Tensor, head: _Head, scale: float, low: int, first_B: Tensor) -> list[Blocks]:
    """Columns before the rows' block that no diagonal covers."""
    blocks = first_B.shape[0]
    last = low + (blocks - 1) * head.block
    count = int(torch.searchsorted(head.column_V, last))
    distance_BV = first_B[:, None] - head.column_V[:count]
    mask_BV = (distance_BV > 0) & ~head.covered[distance_BV.clamp(min=0)]
    if not mask_BV.any():
        return []
    k_B1VD, v_B1VD = (t[:, :count].expand(blocks, 1, -1, -1) for t in (head.k_1VD, head.v_1VD))
    return [batched.attend(q_B1ND, k_B1VD, v_B1VD, scale, mask_BV.unsqueeze(1))]
