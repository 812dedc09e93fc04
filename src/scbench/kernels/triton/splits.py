"""Few rows over many keys keep a GPU busy only if the keys are split: how, and how the parts become one."""

from __future__ import annotations

import torch
from torch import Tensor

from scbench.kernels.merge import merge
from scbench.kernels.spec import Partial

PROGRAMS = 512  # that a launch should have at least: a few for each multiprocessor of a large GPU


def count(programs: int, tiles: int) -> int:
    """How many parts the keys of each of `programs` programs are split into; a part has at least one tile."""
    return max(1, min(tiles, -(-PROGRAMS // max(1, programs))))


def joined(out_SGND: Tensor, lse_SGN: Tensor, dtype: torch.dtype) -> Partial:
    """The parts as one; rows that saw no key anywhere have `out` 0 and `lse` -inf."""
    parts = [Partial(out_GND, lse_GN) for out_GND, lse_GN in zip(out_SGND, lse_SGN, strict=True)]
    out_GND, lse_GN = merge(parts)
    return Partial(out_GND.masked_fill(torch.isneginf(lse_GN).unsqueeze(-1), 0.0).to(dtype), lse_GN)
