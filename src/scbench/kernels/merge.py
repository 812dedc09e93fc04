"""The merge rule: partial attentions over disjoint keys add up exactly.

With m = max(l1, l2, …): out = Σ e^(l−m) · o / Σ e^(l−m) and lse = m + log Σ e^(l−m). Any partition of the
keys gives the dense result; the same rule is used by FlashDecoding and Hydragen (arXiv 2402.05099, §3.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor

from scbench.kernels.spec import Partial


def merge(partials: Sequence[Partial]) -> Partial:
    """Join partial results over disjoint keys; a row that sees no key in any of them has `out` 0 and `lse` -inf."""
    if len(partials) == 1:
        return partials[0]
    out_GND, lse_GN = reduce(_join, partials)
    return Partial(out_GND.to(partials[0].out_GND.dtype), lse_GN)


def merge_rows(partials: Sequence[Partial], row_KN: Tensor) -> Partial:
    """Row n of the result joins the rows `row_KN[:, n]` of all partials laid side by side; -1 is none.

    Every row must see a key in one of them.
    """
    heads, _, dim = partials[0].out_GND.shape
    nothing_G1D = partials[0].out_GND.new_zeros(heads, 1, dim)
    out_GMD = torch.cat([*(one.out_GND for one in partials), nothing_G1D], dim=1)
    lse_GM = torch.cat([*(one.lse_GN for one in partials), nothing_G1D[..., 0].float() - torch.inf], dim=1)
    row_KN = torch.where(row_KN < 0, out_GMD.shape[1] - 1, row_KN)
    out_GKND, lse_GKN = (
        torch.unflatten(x.index_select(1, row_KN.flatten()), 1, tuple(row_KN.shape)) for x in (out_GMD, lse_GM)
    )
    weight_GKN1 = torch.softmax(lse_GKN, dim=1).unsqueeze(-1)
    out_GND = (weight_GKN1 * out_GKND.float()).sum(dim=1)
    return Partial(out_GND.to(out_GMD.dtype), torch.logsumexp(lse_GKN, dim=1))


def _join(one: Partial, other: Partial) -> Partial:
    """The rule for two, in float32: with w = σ(l2 - l1) it is out = o1 + w · (o2 - o1)."""
    weight_GN = torch.sigmoid(other.lse_GN - one.lse_GN).nan_to_num_(0.0)  # -inf less -inf is NaN
    out_GND = torch.lerp(one.out_GND.float(), other.out_GND.float(), weight_GN.unsqueeze(-1))
    return Partial(out_GND, torch.logaddexp(one.lse_GN, other.lse_GN))


def with_sinks(partial: Partial, sinks_H: Tensor, batch: int) -> Partial:
    """A partial result with the attention sinks: per query head one logit that takes weight and gives nothing.

    They are one more partial with out 0 and lse = sink. They must join each row once, so one part of the keys takes
    them, whichever it is. Rows are folded as `[G, B·g·T]`: branches, query heads of the group, tokens.
    """
    kv_heads, rows = partial.lse_GN.shape
    group = sinks_H.shape[0] // kv_heads
    sink_GBgT = sinks_H.float().reshape(kv_heads, 1, group, 1).expand(-1, batch, -1, rows // (batch * group))
    total_GN = torch.logaddexp(partial.lse_GN, sink_GBgT.reshape(kv_heads, rows))
    share_GN1 = torch.exp(partial.lse_GN - total_GN).unsqueeze(-1)
    return Partial((partial.out_GND.float() * share_GN1).to(partial.out_GND.dtype), total_GN)
