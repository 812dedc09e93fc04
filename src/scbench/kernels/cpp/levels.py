"""Numbers from packed codes: `codes.levels` in C++."""

from __future__ import annotations

import ctypes
from pathlib import Path

import torch
from torch import Tensor

from scbench.errors import ScbenchError
from scbench.kernels.codes import EIGHT
from scbench.kernels.cpp import build

NAME = "cpp_levels"


def levels(packed_Gnb: Tensor, bits: int, level_C: Tensor, dim: int, folder: Path) -> Tensor:
    """As `codes.levels`, with the kernel kept in `folder`; on the CPU."""
    library = build.library(folder)
    if library is None:
        raise ScbenchError(f"the kernel {NAME} cannot be built here: no working g++")
    heads, rows, size = packed_Gnb.shape
    if size * EIGHT < dim * bits or level_C.numel() < 1 << bits:
        raise ValueError(f"{size} bytes and {level_C.numel()} levels are no {dim} codes of {bits} bits")
    out_GnD = torch.empty(heads, rows, dim)
    if rows == 0:
        return out_GnD
    whole_Gnb = packed_Gnb if packed_Gnb[0].is_contiguous() else packed_Gnb.contiguous()
    level_C = level_C.contiguous()
    library.scbench_levels(
        *(ctypes.c_void_p(tensor.data_ptr()) for tensor in (whole_Gnb, level_C, out_GnD)),
        *(ctypes.c_int64(n) for n in (whole_Gnb.stride(0), heads, rows, dim, bits, torch.get_num_threads())),
    )
    return out_GnD
