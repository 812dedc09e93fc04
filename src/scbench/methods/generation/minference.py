"""MInference: a prefill along vertical lines and diagonals that each head finds for itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from torch import Tensor

from scbench.errors import ScbenchError
from scbench.kernels.plans import Plan, VerticalSlash
from scbench.methods.base import PROMPT, Base, Layer, Method, Prompt


@dataclass(frozen=True)
class MInference(Method):
    """Dynamic sparse prefill, vertical-slash pattern (arXiv 2407.02490, §3.2 and Algorithm 2).

    Per query head, the attention weights of the last `last` queries are summed per key (vertical) and per distance
    (slash). The `vertical` keys with the highest sums are read by every row, the first `first` of them always; the
    `slash` distances with the highest sums are read as diagonals, the nearest `near` always, in blocks of `block` keys.
    The cache keeps all tokens; what comes after the base, and decoding, is dense.

    Memory O(n), prefill O(last·n) + O(n·(vertical + slash)), decode O(n) per token. Defaults are the uniform
    pattern that SCBench uses for Llama-3.1-8B.
    """

    family_key: ClassVar[str] = "minference"
    stages: ClassVar[tuple[str, ...]] = ("generation",)
    horizon: ClassVar[str] = PROMPT

    vertical: int = 512
    slash: int = 2048
    last: int = 64
    first: int = 30
    near: int = 100
    block: int = 64

    def __post_init__(self) -> None:
        if min(self.vertical, self.slash, self.last, self.block) < 1 or min(self.first, self.near) < 0:
            raise ScbenchError(
                f"minference: vertical={self.vertical}, slash={self.slash}, last={self.last}, block={self.block} must "
                f"be >= 1, first={self.first} and near={self.near} >= 0"
            )

    def lossless(self) -> Self:
        """Every key and every distance."""
        return replace(self, vertical=2**40, slash=2**40)

    def idle(self, base: Base) -> bool:
        """Every row would read every key."""
        return self.vertical >= base.tokens or self.slash >= base.tokens

    def prefill(self, prompt: Prompt, layer: Layer) -> Plan | None:
        """The lines that the last queries look along."""
        weight_HWL = self._weights(prompt)
        vertical_HL = weight_HWL.sum(dim=1)
        vertical_HL[:, : self.first] = torch.inf
        slash_HL = _diagonals(weight_HWL)
        slash_HL[:, : self.near] = torch.inf
        return VerticalSlash(
            _top(vertical_HL, max(self.vertical, self.first)), _top(slash_HL, max(self.slash, self.near)), self.block
        )

    def _weights(self, prompt: Prompt) -> Tensor:
        """Attention of the last queries over all keys: `[H, W, L]`."""
        length = prompt.k_GLD.shape[1]
        rows = min(self.last, prompt.q_HTD.shape[1])
        heads, _, dim = prompt.q_HTD.shape
        q_GND = prompt.q_HTD[:, -rows:].reshape(prompt.k_GLD.shape[0], -1, dim).float()
        score_HWL = (
            torch.matmul(q_GND, prompt.k_GLD.float().transpose(1, 2)).reshape(heads, rows, length) * prompt.scale
        )
        row_W1 = torch.arange(length - rows, length, device=q_GND.device)[:, None]
        score_HWL.masked_fill_(torch.arange(length, device=q_GND.device) > row_W1, -torch.inf)
        return torch.softmax(score_HWL, dim=-1)


def _diagonals(weight_HWL: Tensor) -> Tensor:
    """Sums over the entries of each distance i - j, from 0 on, of the last W rows: `[H, L]`."""
    heads, rows, length = weight_HWL.shape
    flipped_HWL = weight_HWL.flip(2)  # row w, distance d lies at place d + rows - 1 - w
    padded = torch.nn.functional.pad(flipped_HWL, (0, rows)).contiguous()
    width = length + rows
    lined = padded.as_strided((heads, rows, length), (rows * width, width - 1, 1), padded.storage_offset() + rows - 1)
    return lined.sum(dim=1)


def _top(score_HL: Tensor, count: int) -> Tensor:
    """The places of the highest scores, ascending."""
    return score_HL.topk(min(count, score_HL.shape[1]), dim=1).indices.sort(dim=1).values
