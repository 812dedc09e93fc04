"""Rows that read pages of their own: the pages are gathered, page by page, since a page is one piece of memory.

Where many lists are long, reading all tokens under a mask is faster than gathering for each list.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from scbench.kernels.spec import Partial

NAME = "paged_gather"
MASKED = "paged_mask"


def attend(
    q_GND: Tensor,
    k_GLD: Tensor,
    v_GLD: Tensor,
    page_GXK: Tensor,
    size: int,
    full: Callable[[Tensor, Tensor, Tensor], Partial],
    masked: Callable[[Tensor, Tensor, Tensor, Tensor], Partial],
) -> Partial:
    """N / X rows in a row share a list of pages of `size` tokens; places with -1 are unused.

    `full` and `masked` attend over what was gathered.
    """
    heads, rows, dim = q_GND.shape
    each = rows // page_GXK.shape[1]
    used_GXK = page_GXK >= 0
    k_XtD, v_XtD = (_gather(x_GLD, page_GXK.clamp(min=0), size) for x_GLD in (k_GLD, v_GLD))
    q_XnD = q_GND.reshape(-1, each, dim)
    if bool(used_GXK.all()):
        part = full(q_XnD, k_XtD, v_XtD)
    else:
        mask_Xt = used_GXK.reshape(-1, page_GXK.shape[-1]).repeat_interleave(size, dim=1)
        part = masked(q_XnD, k_XtD, v_XtD, mask_Xt.unsqueeze(1).expand(-1, each, -1))
    return Partial(part.out_GND.reshape(heads, rows, dim), part.lse_GN.reshape(heads, rows))


def mask(page_GXK: Tensor, size: int, rows: int, tokens: int) -> Tensor:
    """The same lists of pages as a mask over all tokens, `[G, rows, tokens]`."""
    heads, lists, _ = page_GXK.shape
    pages = -(-tokens // size)
    read_GXP = torch.zeros(heads, lists, pages + 1, dtype=torch.bool, device=page_GXK.device)
    read_GXP.scatter_(2, page_GXK.masked_fill(page_GXK < 0, pages), True)
    read_GXL = read_GXP[..., :pages].repeat_interleave(size, dim=-1)[..., :tokens]
    return read_GXL.unsqueeze(2).expand(-1, -1, rows // lists, -1).reshape(heads, rows, tokens)


def _gather(x_GLD: Tensor, page_GXK: Tensor, size: int) -> Tensor:
    """Whole pages as `[G·X, K·size, D]`."""
    heads, tokens, dim = x_GLD.shape
    pages = tokens // size
    found_GYE = x_GLD.new_empty(heads, page_GXK[0].numel(), size * dim)
    for x_LD, page_XK, found_YE in zip(x_GLD, page_GXK, found_GYE, strict=True):
        torch.index_select(x_LD[: pages * size].view(pages, size * dim), 0, page_XK.reshape(-1), out=found_YE)
    return found_GYE.reshape(heads * page_GXK.shape[1], -1, dim)
