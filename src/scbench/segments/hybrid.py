"""Hybrid KV: of a cache that stays whole, what one answer may read, in pages whose bounds are read in part."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scbench.kernels.choose import Kernels
from scbench.kernels.spec import Partial, Spec, Visible
from scbench.segments.base import Footprint, Segment
from scbench.segments.kept import KeptSegment

ENTRIES = 1 << 26  # numbers gathered at once


@dataclass(frozen=True)
class Hybrid:
    """Tokens per `page`, how many `pages` a token reads, and of how many `channels` it looks at the pages' bounds."""

    page: int
    pages: int
    channels: int


class HybridSegment(Segment):
    """Chosen tokens in pages of neighbours, of which each new token reads the best (RocketKV, arXiv 2502.14051, §3.4).

    The query heads of a group choose together. Let s_d be the sign of Σ_h q_hd, and C the `channels` with the largest
    Σ_h |q_hd|. For query head h a page has the score Σ_{d in C} q_hd · b_d, where b_d is the page's largest k_d if
    s_d > 0, else its smallest. Scores times scale · √(Σ_d |q_hd| / Σ_{d in C} |q_hd|) become weights by a softmax over
    the pages, and the pages with the largest mean weight over the group are read exactly.

    The tokens that were not chosen are kept elsewhere, for later prompts, and counted here as stored.
    """

    def __init__(self, chosen: KeptSegment, hybrid: Hybrid, scale: float) -> None:
        super().__init__(chosen.start)
        if chosen.k_GLD.shape[1] % hybrid.page:
            raise ValueError(f"{chosen.k_GLD.shape[1]} tokens are no whole pages of {hybrid.page}")
        self.chosen = chosen
        self.hybrid = hybrid
        self._scale = scale
        k_GPpD = torch.unflatten(chosen.k_GLD, 1, (-1, hybrid.page))
        sides = [k_GPpD.amin(2), k_GPpD.amax(2)] if hybrid.page > 1 else [k_GPpD.squeeze(2)]
        self.bound_GCP = torch.cat(sides, dim=-1).transpose(1, 2).contiguous()  # the smallest, then the largest

    @property
    def stop(self) -> int:
        """One past the last logical position that it covers."""
        return self.chosen.stop

    def attend(self, q_GND: Tensor, visible: Visible, spec: Spec, kernels: Kernels) -> Partial:
        """Each token chooses its pages for a group of query heads and reads them exactly."""
        if not visible.covers(self.start, self.stop):
            raise RuntimeError("a hybrid segment is read as it was at its point, and not in part")
        heads, _, pages = self.bound_GCP.shape
        if self.hybrid.pages >= pages:
            return self.chosen.attend(q_GND, visible, spec, kernels)
        q_GXgD = visible.by_token(q_GND)
        each = self.hybrid.channels * pages + 2 * self.hybrid.pages * self.hybrid.page * q_GND.shape[-1]
        blocks = torch.split(q_GXgD, max(1, ENTRIES // (heads * each)), dim=1)
        parts = [self._attend(part, spec, kernels) for part in blocks]
        out_GXgD = torch.cat([part.out_GND for part in parts], dim=1)
        lse_GXg = torch.cat([part.lse_GN for part in parts], dim=1)
        return Partial(visible.by_head(out_GXgD), visible.by_head(lse_GXg))

    def reads(self, q_GND: Tensor, visible: Visible) -> Tensor:
        """The tokens of the pages that each row chooses."""
        if self.hybrid.pages >= self.bound_GCP.shape[-1]:
            return self.chosen.reads(q_GND, visible)
        q_GXgD = visible.by_token(q_GND)
        page_GXK = self.choose(q_GXgD)
        page_GXP = torch.zeros(*page_GXK.shape[:2], self.bound_GCP.shape[-1], dtype=torch.bool, device=q_GND.device)
        chosen_GXL = page_GXP.scatter_(-1, page_GXK, True).repeat_interleave(self.hybrid.page, dim=-1)
        read_GXL = chosen_GXL.new_zeros(*page_GXK.shape[:2], self.stop - self.start)
        place_GXL = (self.chosen.position_GL - self.start).unsqueeze(1).expand_as(chosen_GXL)
        read_GXL.scatter_(-1, place_GXL, chosen_GXL)
        return visible.by_head(read_GXL.unsqueeze(2).expand(-1, -1, q_GXgD.shape[2], -1))

    def holds(self) -> Tensor:
        """The chosen tokens: the others are out of this answer's reach."""
        return self.chosen.holds()

    def footprint(self, stop: int) -> Footprint:
        """All tokens, a copy of the chosen ones and the bounds are stored.

        A token reads the bounds, on one side, of its channels in every page, and its pages.
        """
        heads, _, pages = self.bound_GCP.shape
        tokens, size = self.stop - self.start, self.bound_GCP.element_size()
        token = 2 * heads * self.chosen.k_GLD.shape[-1] * size
        stored = tokens * token + self.chosen.footprint(self.stop).stored + self.bound_GCP.numel() * size
        bounds = heads * pages * self.hybrid.channels * size if self.hybrid.pages < pages else 0
        return Footprint(tokens, stored, bounds + min(self.hybrid.pages, pages) * self.hybrid.page * token)

    def choose(self, q_GXgD: Tensor) -> Tensor:
        """The pages that tokens read, best first: `[G, X, pages]`; X are tokens of branches."""
        heads, _, group, dim = q_GXgD.shape
        size_GXgD = q_GXgD.abs()
        channel_GXr = size_GXgD.mean(2).topk(self.hybrid.channels, dim=-1).indices
        some_GXgr = q_GXgD.gather(-1, channel_GXr.unsqueeze(2).expand(-1, -1, group, -1))
        bound_GXr = channel_GXr
        if self.hybrid.page > 1:
            bound_GXr = channel_GXr + dim * (q_GXgD.sum(2).gather(-1, channel_GXr) > 0)
        head_G11 = torch.arange(heads, device=q_GXgD.device)[:, None, None]
        score_GXgP = torch.matmul(some_GXgr, self.bound_GCP[head_G11, bound_GXr]).float()
        seen_GXg = some_GXgr.abs().sum(-1).float().clamp(min=torch.finfo(torch.float32).tiny)
        scale_GXg = self._scale * torch.sqrt(size_GXgD.sum(-1).float() / seen_GXg)
        weight_GXP = torch.softmax(score_GXgP * scale_GXg.unsqueeze(-1), dim=-1).mean(2)
        return weight_GXP.topk(self.hybrid.pages, dim=-1).indices

    def _attend(self, q_GXgD: Tensor, spec: Spec, kernels: Kernels) -> Partial:
        """`out_GXgD` and `lse_GXg`: the rows of a group follow one another, and read the same pages."""
        k_GLD, v_GLD = self.chosen.k_GLD, self.chosen.v_GLD
        page_GXK = self.choose(q_GXgD)
        part = kernels.pages(q_GXgD.flatten(1, 2), [(k_GLD, v_GLD)], page_GXK, self.hybrid.page, spec.scale)
        return Partial(part.out_GND.reshape(q_GXgD.shape), part.lse_GN.reshape(q_GXgD.shape[:3]))
