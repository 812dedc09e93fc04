"""Rows that read pages of their own, where they lie: `paged` in C++."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from scbench.errors import ScbenchError
from scbench.kernels.cpp import build
from scbench.kernels.spec import Partial

NAME = "cpp_paged_decode"


def eligible(q_GND: Tensor, parts: Sequence[tuple[Tensor, Tensor]]) -> bool:
    """Whether it can read these tensors: float32 on the CPU."""
    tensors = (q_GND, *(tensor for part in parts for tensor in part))
    return all(tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in tensors)


def attend(
    q_GND: Tensor, parts: Sequence[tuple[Tensor, Tensor]], page_GXK: Tensor, size: int, scale: float, folder: Path
) -> Partial:
    """As `Kernels.pages`, with the kernel kept in `folder`; tokens of other pages are never read."""
    library = build.library(folder)
    if library is None:
        raise ScbenchError(f"the kernel {NAME} cannot be built here: no working g++")
    heads, rows, dim = q_GND.shape
    lists, pages = page_GXK.shape[1:]
    q_GND, page_GXK = q_GND.contiguous(), page_GXK.contiguous()
    whole = [tuple(x if x.stride(-1) == 1 else x.contiguous() for x in part) for part in parts]  # channels side by side
    out_GND, lse_GN = torch.empty(heads, rows, dim), torch.empty(heads, rows)
    pointers = [(ctypes.c_void_p * len(whole))(*(x.data_ptr() for x in some)) for some in zip(*whole, strict=True)]
    tokens = [k_GLD.shape[1] for k_GLD, _ in whole]
    steps = [step for part in whole for x_GLD in part for step in x_GLD.stride()[:2]]
    library.scbench_paged_decode(
        *(ctypes.c_void_p(tensor.data_ptr()) for tensor in (q_GND, page_GXK, out_GND, lse_GN)),
        *(ctypes.c_int64(n) for n in (heads, lists, rows // lists, dim, pages, size)),
        ctypes.c_float(scale),
        ctypes.c_int64(len(whole)),
        *pointers,
        (ctypes.c_int64 * len(tokens))(*tokens),
        (ctypes.c_int64 * len(steps))(*steps),
        ctypes.c_int64(torch.get_num_threads()),
    )
    return Partial(out_GND, lse_GN)
