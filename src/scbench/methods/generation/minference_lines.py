"""Where MInference's patterns lie in a prompt: found from its last queries, or from the means of its blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from scbench.kernels.plans import Band, BlockSparse, ByHead, Plan, Simple, VerticalSlash
from scbench.methods.base import Prompt
from scbench.methods.generation.minference_table import BLOCKS, STREAM, VERTICAL_SLASH, Pattern

Part = tuple[tuple[int, ...], Simple]


@dataclass(frozen=True)
class Estimate:
    """A layer's prompt, looked at once for all its heads (arXiv 2407.02490, §3.2, Algorithms 2 and 3).

    The last `last` queries rank columns and distances, of which the first `first` and the nearest `near` are always
    read; diagonals and blocks have `block` keys.
    """

    prompt: Prompt
    last: int
    first: int
    near: int
    block: int

    def plan(self, patterns: Sequence[Pattern]) -> Plan:
        """The plan of a layer whose query heads follow these patterns."""
        parts = [
            part
            for kind in (STREAM, VERTICAL_SLASH, BLOCKS)
            for part in self._parts(
                kind, tuple(head for head, own in enumerate(patterns) if own.kind == kind), patterns
            )
        ]
        return parts[0][1] if len(parts) == 1 else ByHead(tuple(parts))

    def of_head(self, head: int, pattern: Pattern) -> Simple:
        """The plan of one head alone."""
        patterns = [pattern] * self.prompt.q_HTD.shape[0]
        ((_, plan),) = self._parts(pattern.kind, (head,), patterns)
        return plan

    def lines(self, heads: Sequence[int], sizes: Sequence[tuple[int, ...]]) -> VerticalSlash:
        """The columns and distances with the highest sums: `sizes` are how many of each, per head."""
        vertical_HL, slash_HL = (score_HL[list(heads)] for score_HL in self._lines)
        columns, distances = zip(*sizes, strict=True)
        return VerticalSlash(
            _top(vertical_HL, [max(count, self.first) for count in columns]),
            _top(slash_HL, [max(count, self.near) for count in distances]),
            self.block,
        )

    def blocks(self, heads: Sequence[int], sizes: Sequence[tuple[int, ...]]) -> BlockSparse:
        """Per block of rows the blocks of keys with the highest scores of mean query and mean key.

        The last block is filled up with zeros, as the authors' kernel does.
        """
        score_HQK = self._pooled[list(heads)]
        counts = [count for (count,) in sizes for _ in range(score_HQK.shape[1])]
        return BlockSparse(_top(score_HQK.flatten(0, 1), counts).reshape(*score_HQK.shape[:2], -1), self.block)

    def _parts(self, kind: str, heads: tuple[int, ...], patterns: Sequence[Pattern]) -> list[Part]:
        """The heads of a kind as one plan, or for bands as one per size."""
        if not heads:
            return []
        sizes = [patterns[head].sizes for head in heads]
        if kind == VERTICAL_SLASH:
            return [(heads, self.lines(heads, sizes))]
        if kind == BLOCKS:
            return [(heads, self.blocks(heads, sizes))]
        return [
            (tuple(head for head in heads if patterns[head].sizes == size), Band(*size))
            for size in dict.fromkeys(sizes)
        ]

    @cached_property
    def _lines(self) -> tuple[Tensor, Tensor]:
        """Sums of the last queries' weights per key and per distance, infinite where always read: `[H, L]` each."""
        weight_HWL = self._weights()
        vertical_HL = weight_HWL.sum(dim=1)
        vertical_HL[:, : self.first] = torch.inf
        slash_HL = _diagonals(weight_HWL)
        slash_HL[:, : self.near] = torch.inf
        return vertical_HL, slash_HL

    @cached_property
    def _pooled(self) -> Tensor:
        """Scores of mean queries and mean keys, -inf for what lies behind a block of rows: `[H, Q, K]`."""
        q_HQD, k_GKD = (_means(x_HLD, self.block) for x_HLD in (self.prompt.q_HTD, self.prompt.k_GLD))
        heads, blocks, dim = q_HQD.shape
        q_GND = q_HQD.reshape(k_GKD.shape[0], -1, dim)
        score_HQK = torch.matmul(q_GND, k_GKD.transpose(1, 2)).reshape(heads, blocks, -1)
        behind_QK = torch.ones(score_HQK.shape[1:], dtype=torch.bool, device=score_HQK.device).triu(1)
        return score_HQK.masked_fill_(behind_QK, -torch.inf)

    def _weights(self) -> Tensor:
        """Attention of the last queries over all keys: `[H, W, L]`."""
        prompt = self.prompt
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
    padded = F.pad(flipped_HWL, (0, rows)).contiguous()
    width = length + rows
    lined = padded.as_strided((heads, rows, length), (rows * width, width - 1, 1), padded.storage_offset() + rows - 1)
    return lined.sum(dim=1)


def _means(x_HLD: Tensor, block: int) -> Tensor:
    """The mean of every block of tokens, the last one filled up with zeros: `[H, blocks, D]`."""
    filled_HLD = F.pad(x_HLD, (0, 0, 0, -x_HLD.shape[1] % block)) if x_HLD.shape[1] % block else x_HLD
    return filled_HLD.reshape(x_HLD.shape[0], -1, block, x_HLD.shape[2]).mean(dim=2, dtype=torch.float32)


def _top(score_NL: Tensor, counts: Sequence[int]) -> Tensor:
    """Per row the places of its `counts` highest scores, ascending; before them -1 where it has fewer than others."""
    found = score_NL.topk(min(max(counts), score_NL.shape[1]), dim=1)
    rank_K = torch.arange(found.indices.shape[1], device=score_NL.device)
    unused_NK = rank_K >= torch.tensor(counts, device=score_NL.device)[:, None]
    return found.indices.masked_fill(unused_NK | (found.values == -torch.inf), -1).sort(dim=1).values
