"""Choosing tokens of a cache: by position, by what queries look at, and by score beside those that always stay."""

from __future__ import annotations

import torch
from torch import Tensor

from scbench.methods.base import Cache, Queries


def held(cache: Cache, position_K: Tensor) -> Tensor:
    """The numbers in the cache, per KV head `[G, K]`, of those logical positions that it still holds.

    Every KV head must hold the same ones of them, as it does where positions are those that always stay.
    """
    found_GL = torch.isin(cache.position_GL, position_K)
    heads = cache.position_GL.shape[0]
    return found_GL.nonzero()[:, 1].reshape(heads, -1)


def looked_at(cache: Cache, queries: Queries) -> Tensor:
    """Attention weights of the last queries on every token they may see, summed over the queries: `[G, g, L]`.

    One KV head at a time: the weights of all queries of one are already many.
    """
    heads, _, dim = cache.k_GLD.shape
    window = queries.q_HWD.shape[1]
    row_W = torch.arange(queries.start, queries.stop, device=queries.q_HWD.device)
    sums = []
    for q_gWD, k_LD, position_L in zip(
        queries.q_HWD.reshape(heads, -1, window, dim), cache.k_GLD, cache.position_GL, strict=True
    ):
        score_gWL = torch.matmul(q_gWD.float(), k_LD.float().T) * queries.scale
        score_gWL.masked_fill_(position_L > row_W[:, None], -torch.inf)
        sums.append(torch.softmax(score_gWL, dim=-1).sum(dim=1))
    return torch.stack(sums)


def best(score_GL: Tensor, always_GL: Tensor, budget: int) -> Tensor:
    """The numbers `[G, K]`, ascending, of the `budget` tokens per head with the highest scores.

    Tokens of `always_GL` (True, equally many per head) come first and count; if they alone are more than the budget,
    they all stay. Equal scores are decided in favour of the earlier token.
    """
    least = int(always_GL[0].sum())
    count = min(max(budget, least), score_GL.shape[1])
    order_GL = torch.argsort(score_GL.masked_fill(always_GL, torch.inf), dim=1, descending=True, stable=True)
    return order_GL[:, :count].sort(dim=1).values
