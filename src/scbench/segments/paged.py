"""Paged KV: everything is kept, and each new token reads the pages that may matter to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from scbench.kernels.choose import Kernels
from scbench.kernels.merge import merge
from scbench.kernels.spec import Partial, Spec, Visible
from scbench.segments.base import Footprint, Segment
from scbench.segments.dense import DenseSegment

ENTRIES = 1 << 26  # of scores held at once


@dataclass(frozen=True)
class Paging:
    """Tokens per `page`, how many `pages` a token reads, and whether the `group` query heads of a KV head choose
    `together` or each for itself."""

    page: int
    pages: int
    together: bool
    group: int = 1


class PagedSegment(Segment):
    """Dense KV with the smallest and largest key per page and channel.

    A page's score for a query q is Σ_d max(q_d·low_d, q_d·high_d), an upper bound of q·k over its keys. Pages are
    counted from `start` on. The KV itself is that of the dense segments it was made from (`parts`), by reference. The
    page that a point cuts has bounds of its tokens up to that point; a later segment has bounds of its own.
    `bounds` are those of successive pages, `[G, 2D, P]` each: the smallest, then the largest keys; for pages of one
    token the keys. Those of whole pages are shared with earlier points.
    """

    def __init__(self, parts: tuple[DenseSegment, ...], paging: Paging, bounds: tuple[Tensor, ...]) -> None:
        super().__init__(parts[0].start)
        self.parts = parts
        self.paging = paging
        self.bounds = bounds

    @classmethod
    def of(cls, dense: DenseSegment, paging: Paging) -> PagedSegment:
        """Pages over a dense segment."""
        return cls((dense,), paging, (_bounds(dense.k_GLD, paging.page),))

    @property
    def absorbs(self) -> bool:
        """New tokens get pages."""
        return True

    @property
    def stop(self) -> int:
        """One past the last logical position."""
        return self.parts[-1].stop

    def absorb(self, fresh: DenseSegment) -> PagedSegment:
        """All of the new tokens; the page that the last point cut gets new bounds."""
        page = self.paging.page
        whole = (self.stop - self.start) // page
        cut = self.start + whole * page
        pieces = [part.k_GLD[:, max(0, cut - part.start) :] for part in self.parts if part.stop > cut]
        k_GLD = torch.cat([*pieces, fresh.k_GLD], dim=1) if pieces else fresh.k_GLD
        bounds = (*_first(self.bounds, whole), _bounds(k_GLD, page))
        return PagedSegment((*self.parts, fresh), self.paging, bounds)

    def attend(self, q_GND: Tensor, visible: Visible, spec: Spec, kernels: Kernels) -> Partial:
        """Each row chooses its pages by their scores and reads them exactly."""
        if not visible.covers(self.start, self.stop):
            raise RuntimeError("a paged segment is read as it was at its point, and not in part")
        if self.paging.pages >= self._count:
            return merge([part.attend(q_GND, visible, spec, kernels) for part in self.parts])
        q_GXgD = self._choosers(q_GND, visible)
        heads, _, each, _ = q_GXgD.shape
        kv = [(part.k_GLD, part.v_GLD) for part in self.parts]
        some = max(1, ENTRIES // (heads * each * (self.stop - self.start)))
        parts = [
            kernels.pages(q.flatten(1, 2), kv, self.choose(q), self.paging.page, spec.scale)
            for q in torch.split(q_GXgD, some, dim=1)
        ]
        out_GND, lse_GN = (torch.cat(part, dim=1) for part in zip(*parts, strict=True))
        if each == 1 or visible.tokens == 1:  # the order is the same
            return Partial(out_GND, lse_GN)
        return Partial(*(visible.by_head(torch.unflatten(x, 1, (-1, each))) for x in (out_GND, lse_GN)))

    def reads(self, q_GND: Tensor, visible: Visible) -> Tensor:
        """The tokens of the pages that each row chooses."""
        tokens = self.stop - self.start
        if self.paging.pages >= self._count:
            return super().reads(q_GND, visible)
        q_GXgD = self._choosers(q_GND, visible)
        heads, choosers, each, _ = q_GXgD.shape
        read_GXP = torch.zeros(heads, choosers, self._count, dtype=torch.bool, device=q_GND.device)
        read_GXP.scatter_(2, self.choose(q_GXgD), True)
        read_GXL = read_GXP.repeat_interleave(self.paging.page, dim=-1)[..., :tokens]
        if each == 1:
            return read_GXL
        return visible.by_head(read_GXL.unsqueeze(2).expand(-1, -1, each, -1))

    def footprint(self, stop: int) -> Footprint:
        """All tokens and the bounds are stored; a token reads the bounds and its pages.

        Query heads that choose for themselves are counted as if no two chose the same page.
        """
        heads, _, dim = self.parts[0].k_GLD.shape
        tokens, size = self.stop - self.start, self.parts[0].k_GLD.element_size()
        token = 2 * heads * dim * size
        choices = 1 if self.paging.together else self.paging.group
        read = min(tokens, choices * self.paging.pages * self.paging.page)
        if self.paging.page == 1:  # the keys are their own bounds: nothing more is stored, and all of them are read
            return Footprint(tokens, tokens * token, (tokens + read) * token // 2)
        bounds = sum(bound_GCP.numel() for bound_GCP in self.bounds) * size
        return Footprint(tokens, tokens * token + bounds, read * token + bounds)

    def choose(self, q_GXgD: Tensor) -> Tensor:
        """The pages that choosers read, best first: `[G, X, pages]`; the g rows of one choose by their mean score."""
        if self.paging.page > 1:  # the mean over rows of a sum over channels is the sum over channels of means
            q_GXgD = torch.cat([q_GXgD.clamp(max=0), q_GXgD.clamp(min=0)], dim=-1)
        q_GXC = q_GXgD.mean(2)
        score_GXP = torch.cat([torch.matmul(q_GXC, bound_GCP) for bound_GCP in self.bounds], dim=-1)
        return score_GXP.topk(self.paging.pages, dim=-1).indices

    @property
    def _count(self) -> int:
        """How many pages there are."""
        return sum(bound_GCP.shape[-1] for bound_GCP in self.bounds)

    def _choosers(self, q_GND: Tensor, visible: Visible) -> Tensor:
        """The rows that choose together: `[G, X, g, D]`; g is 1 where each chooses for itself."""
        if self.paging.together and visible.group > 1:
            return visible.by_token(q_GND)
        return q_GND.unsqueeze(2)


def _first(bounds: tuple[Tensor, ...], pages: int) -> Iterator[Tensor]:
    """The bounds of the first so many pages, without a copy."""
    for bound_GCP in bounds:
        if pages > 0:
            yield bound_GCP[..., :pages]
        pages -= bound_GCP.shape[-1]


def _bounds(k_GLD: Tensor, page: int) -> Tensor:
    """Smallest and largest key per page and channel, `[G, 2D, P]`; the last page may be short."""
    heads, tokens, _ = k_GLD.shape
    if page == 1:
        return k_GLD.transpose(1, 2)
    whole = tokens // page * page
    paged_GPtD = k_GLD[:, :whole].reshape(heads, -1, page, k_GLD.shape[-1])
    bounds = [torch.cat([paged_GPtD.amin(2), paged_GPtD.amax(2)], dim=-1)] if whole else []
    if whole < tokens:
        rest_GtD = k_GLD[:, whole:]
        bounds.append(torch.cat([rest_GtD.amin(1, keepdim=True), rest_GtD.amax(1, keepdim=True)], dim=-1))
    return torch.cat(bounds, dim=1).transpose(1, 2).contiguous()
