"""The merge rule: partial attentions over disjoint keys add up exactly.

With m = max(l1, l2, …): out = Σ e^(l−m) · o / Σ e^(l−m) and lse = m + log Σ e^(l−m). Any partition of the
keys gives the dense result; the same rule is used by FlashDecoding and Hydragen (arXiv 2402.05099, §3.1).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from scbench.kernels.spec import Partial


def merge(partials: Sequence[Partial]) -> Partial:
    """Join partial results over disjoint keys; at least one of them must see a key for every row."""
    if len(partials) == 1:
        return partials[0]
    lse_PGN = torch.stack([partial.lse_GN for partial in partials])
    total_GN = torch.logsumexp(lse_PGN, dim=0)
    weight_PGN = torch.exp(lse_PGN - total_GN)
    out_GND = weight_PGN[0].unsqueeze(-1) * partials[0].out_GND.float()
    for weight_GN, partial in zip(weight_PGN[1:], partials[1:], strict=True):
        out_GND.addcmul_(weight_GN.unsqueeze(-1), partial.out_GND.float())
    return Partial(out_GND.to(partials[0].out_GND.dtype), total_GN)


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
