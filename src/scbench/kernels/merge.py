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
