"""Paged KV: everything is kept, and each new token reads the pages that may matter to it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scbench.kernels.choose import Kernels
from scbench.kernels.merge import merge
from scbench.kernels.spec import Partial, Spec, Visible
from scbench.segments.base import Footprint, Segment
from scbench.segments.dense import DenseSegment

ENTRIES = 1 << 26  # of a mask held at once


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
    """

    def __init__(self, parts: tuple[DenseSegment, ...], paging: Paging, low_GPD: Tensor, high_GPD: Tensor) -> None:
        super().__init__(parts[0].start)
        self.parts = parts
        self.paging = paging
        self.low_GPD = low_GPD
        self.high_GPD = high_GPD

    @classmethod
    def of(cls, dense: DenseSegment, paging: Paging) -> PagedSegment:
        """Pages over a dense segment."""
        return cls((dense,), paging, *_bounds(dense.k_GLD, paging.page))

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
        low_GPD, high_GPD = _bounds(torch.cat([*pieces, fresh.k_GLD], dim=1), page)
        low_GPD = torch.cat([self.low_GPD[:, :whole], low_GPD], dim=1)
        high_GPD = torch.cat([self.high_GPD[:, :whole], high_GPD], dim=1)
        return PagedSegment((*self.parts, fresh), self.paging, low_GPD, high_GPD)

    def attend(self, q_GND: Tensor, visible: Visible, spec: Spec, kernels: Kernels) -> Partial:
        """Each row chooses its pages by their scores and reads them exactly."""
        if not visible.covers(self.start, self.stop):
            raise RuntimeError("a paged segment is read as it was at its point, and not in part")
        if self.paging.pages >= self.low_GPD.shape[1]:
            return merge([part.attend(q_GND, visible, spec, kernels) for part in self.parts])
        if visible.tokens > 1:
            return self._attend_many(q_GND, visible, spec, kernels)
        return self._attend_one(q_GND, visible, spec, kernels)

    def reads(self, q_GND: Tensor, visible: Visible) -> Tensor:
        """The tokens of the pages that each row chooses."""
        tokens = self.stop - self.start
        if self.paging.pages >= self.low_GPD.shape[1]:
            return super().reads(q_GND, visible)
        read_GNP = _read(self.choose(q_GND, visible), self.low_GPD.shape[1])
        return read_GNP.repeat_interleave(self.paging.page, dim=-1)[..., :tokens]

    def footprint(self, stop: int) -> Footprint:
        """All tokens and the bounds are stored; a token reads the bounds and its pages.

        Query heads that choose for themselves are counted as if no two chose the same page.
        """
        heads, pages, dim = self.low_GPD.shape
        tokens = self.stop - self.start
        token = 2 * heads * dim * self.low_GPD.element_size()
        choices = 1 if self.paging.together else self.paging.group
        read = min(tokens, choices * self.paging.pages * self.paging.page)
        if self.paging.page == 1:  # the keys are their own bounds: nothing more is stored, and all of them are read
            return Footprint(tokens, tokens * token, (tokens + read) * token // 2)
        bounds = 2 * heads * pages * dim * self.low_GPD.element_size()
        return Footprint(tokens, tokens * token + bounds, read * token + bounds)

    def choose(self, q_GND: Tensor, visible: Visible) -> Tensor:
        """The pages that each row reads, best first: `[G, N, pages]`; the same for a group that is together."""
        score_GNP = self._scores(q_GND)
        if self.paging.together and visible.group > 1:
            heads, rows, pages = score_GNP.shape
            score_GBgTP = score_GNP.reshape(heads, -1, visible.group, visible.tokens, pages)
            shared = score_GBgTP.mean(dim=2, keepdim=True).topk(self.paging.pages, dim=-1).indices
            return shared.expand(-1, -1, visible.group, -1, -1).reshape(heads, rows, -1)
        return score_GNP.topk(self.paging.pages, dim=-1).indices

    def _scores(self, q_GND: Tensor) -> Tensor:
        high_GDP = self.high_GPD.transpose(1, 2)
        if self.paging.page == 1:  # a key is its own bound
            return torch.matmul(q_GND, high_GDP)
        score_GNP = torch.matmul(q_GND.clamp(min=0), high_GDP)
        return score_GNP.add_(torch.matmul(q_GND.clamp(max=0), self.low_GPD.transpose(1, 2)))

    def _attend_one(self, q_GND: Tensor, visible: Visible, spec: Spec, kernels: Kernels) -> Partial:
        """One token per branch: the chosen pages of the first part are gathered, the rest is read under a mask."""
        chosen_GNK = self.choose(q_GND, visible)
        first, page = self.parts[0], self.paging.page
        whole = (first.stop - first.start) // page
        loose = self._loose(whole)
        parts = []
        if whole:
            each = visible.group if self.paging.together else 1  # rows that read the same pages
            page_GXK = chosen_GNK[:, ::each]
            page_GXK = page_GXK.masked_fill(page_GXK >= whole, -1)
            parts.append(kernels.pages(q_GND, first.k_GLD, first.v_GLD, page_GXK, page, spec.scale))
        if loose:
            read_GNP = _read(chosen_GNK, self.low_GPD.shape[1])
            k_GLD, v_GLD = (torch.cat(some, dim=1) for some in zip(*loose, strict=True))
            parts.append(self._masked(q_GND, first.start + whole * page, k_GLD, v_GLD, read_GNP, spec, kernels))
        return merge(parts)

    def _attend_many(self, q_GND: Tensor, visible: Visible, spec: Spec, kernels: Kernels) -> Partial:
        """Many tokens: every part under a mask, branch by branch and block by block of tokens."""
        read_GNP = _read(self.choose(q_GND, visible), self.low_GPD.shape[1])
        block = max(1, ENTRIES // (q_GND.shape[0] * (self.stop - self.start)))
        done = []
        for at in range(0, q_GND.shape[1], block):
            rows = slice(at, at + block)
            done.append(
                merge(
                    [
                        self._masked(q_GND[:, rows], p.start, p.k_GLD, p.v_GLD, read_GNP[:, rows], spec, kernels)
                        for p in self.parts
                    ]
                )
            )
        return Partial(torch.cat([d.out_GND for d in done], dim=1), torch.cat([d.lse_GN for d in done], dim=1))

    def _loose(self, whole: int) -> list[tuple[Tensor, Tensor]]:
        """What lies behind the whole pages of the first part: keys and values, one piece after the other."""
        first = self.parts[0]
        cut = whole * self.paging.page
        tail = [(first.k_GLD[:, cut:], first.v_GLD[:, cut:])] if first.k_GLD.shape[1] > cut else []
        return tail + [(part.k_GLD, part.v_GLD) for part in self.parts[1:]]

    def _masked(
        self,
        q_GND: Tensor,
        start: int,
        k_GLD: Tensor,
        v_GLD: Tensor,
        read_GNP: Tensor,
        spec: Spec,
        kernels: Kernels,
    ) -> Partial:
        place_L = torch.arange(start - self.start, start - self.start + k_GLD.shape[1], device=q_GND.device)
        return kernels.masked(q_GND, k_GLD, v_GLD, read_GNP[:, :, place_L // self.paging.page], spec.scale)


def _bounds(k_GLD: Tensor, page: int) -> tuple[Tensor, Tensor]:
    """Smallest and largest key per page and channel; the last page may be short."""
    heads, tokens, dim = k_GLD.shape
    if page == 1:
        return k_GLD, k_GLD
    whole = tokens // page * page
    paged_GPtD = k_GLD[:, :whole].reshape(heads, -1, page, dim)
    low, high = [paged_GPtD.amin(2)] if whole else [], [paged_GPtD.amax(2)] if whole else []
    if whole < tokens:
        low.append(k_GLD[:, whole:].amin(1, keepdim=True))
        high.append(k_GLD[:, whole:].amax(1, keepdim=True))
    return torch.cat(low, dim=1), torch.cat(high, dim=1)


def _read(chosen_GNK: Tensor, pages: int) -> Tensor:
    read_GNP = torch.zeros(*chosen_GNK.shape[:2], pages, dtype=torch.bool, device=chosen_GNK.device)
    return read_GNP.scatter_(2, chosen_GNK, True)
