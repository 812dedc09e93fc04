"""What a kernel is told besides its tensors: scale, visibility, and what it gives back.

Shape letters of this package: G KV heads, g query heads per KV head, N query rows of one KV head,
L keys of a segment, D head dimension.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True)
class Spec:
    """How a layer turns scores into weights: softmax(scale · q·k), over the last `window` positions if set.

    With `softcap` the scores are softcap · tanh(scale · q·k / softcap) instead (Gemma 2). Attention sinks (gpt-oss) are
    no matter of a part of the keys: they join every row once, by `merge.with_sinks`.
    """

    scale: float
    window: int | None = None
    softcap: float | None = None


class Partial(NamedTuple):
    """Attention over a subset of the keys: `out_GND` and its log-sum-exp `lse_GN` (float32).

    A row that sees no key has `out` 0 and `lse` -inf, so that merging ignores it.
    """

    out_GND: Tensor
    lse_GN: Tensor

    @classmethod
    def nothing(cls, q_GND: Tensor) -> Partial:
        """The result over no keys at all."""
        lse_GN = torch.full(q_GND.shape[:2], -torch.inf, dtype=torch.float32, device=q_GND.device)
        return cls(torch.zeros_like(q_GND), lse_GN)


@dataclass(frozen=True)
class Visible:
    """Per query row, the interval [lo, hi) of logical positions that it may see.

    The extremes are kept as plain numbers: reading them from the tensors at every layer would wait for the
    device each time. Rows are ordered by branch, then by query head inside its group of `group`, then by `tokens`.
    """

    lo_N: Tensor
    hi_N: Tensor
    lo_min: int
    lo_max: int
    hi_min: int
    hi_max: int
    group: int = 1
    tokens: int = 1

    @classmethod
    def of(cls, lo_N: Tensor, hi_N: Tensor, group: int = 1, tokens: int = 1) -> Visible:
        """Measure the extremes once."""
        extremes = int(lo_N.min()), int(lo_N.max()), int(hi_N.min()), int(hi_N.max())
        return cls(lo_N, hi_N, *extremes, group, tokens)

    @property
    def head_N(self) -> Tensor:
        """Which query head of its group each row is of."""
        head_gT = torch.arange(self.group, device=self.lo_N.device)[:, None].expand(-1, self.tokens)
        return head_gT.reshape(-1).repeat(self.lo_N.numel() // (self.group * self.tokens))

    def by_token(self, x_GND: Tensor) -> Tensor:
        """Rows `[G, N, ...]` as `[G, X, g, ...]`: X are tokens of branches, whose query heads follow one another."""
        x_GBgTD = torch.unflatten(x_GND, 1, (-1, self.group, self.tokens))
        return x_GBgTD.transpose(2, 3).flatten(1, 2)

    def by_head(self, x_GXgD: Tensor) -> Tensor:
        """The inverse of `by_token`."""
        x_GBTgD = torch.unflatten(x_GXgD, 1, (-1, self.tokens))
        return x_GBTgD.transpose(2, 3).flatten(1, 3)

    def covers(self, start: int, stop: int) -> bool:
        """Whether every row sees all of [start, stop)."""
        return self.lo_max <= start and self.hi_min >= stop
