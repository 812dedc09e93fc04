"""Fused attention of few rows over rounded keys and values: `quantised` in C++."""

from __future__ import annotations

import ctypes
from pathlib import Path

import torch
from torch import Tensor

from scbench.errors import ScbenchError
from scbench.kernels.cpp import build
from scbench.kernels.packing import PackedKeys, PackedValues
from scbench.kernels.spec import Partial

NAME = "cpp_dequant_decode"


def available(folder: Path) -> bool:
    """Whether the kernel can be used here; compiles it into `folder` the first time (a few seconds)."""
    return build.library(folder) is not None


def eligible(q_GND: Tensor, keys: PackedKeys, values: PackedValues | None) -> bool:
    """Whether it can read these tensors: on the CPU, 2 or 4 bits, groups of tokens that begin with a byte."""
    narrow = keys.bits in (2, 4) and (values is None or values.bits in (2, 4))
    return q_GND.device.type == "cpu" and narrow and keys.group * keys.bits % 8 == 0


def attend(
    q_GND: Tensor,
    keys: PackedKeys,
    values: PackedValues | None,
    v_rest_GkD: Tensor | None,
    scale: float,
    folder: Path,
) -> Partial:
    """As `quantised.attend`, with the kernel kept in `folder`; `q_GND` of any type is computed in float32."""
    library = build.library(folder)
    if library is None:
        raise ScbenchError(f"the kernel {NAME} cannot be built here: no working g++")
    heads, rows, dim = q_GND.shape
    if keys.tokens == 0:
        return Partial.nothing(q_GND)
    q32_GND = q_GND.float().contiguous()
    inputs = [
        None if tensor is None else _whole_heads(tensor)
        for tensor in (
            *(keys.code_GnD, keys.scale_GmD, keys.low_GmD),
            *((None,) * 3 if values is None else (values.code_Gnd, values.scale_Gnm, values.low_Gnm)),
            None if v_rest_GkD is None else v_rest_GkD.float(),
        )
    ]
    out_GND = torch.empty(heads, rows, dim)
    lse_GN = torch.empty(heads, rows)
    pointers = (q32_GND, *inputs, out_GND, lse_GN)
    steps = [0 if tensor is None else tensor.stride(0) for tensor in inputs]
    rounded = (0, keys.bits, dim) if values is None else (values.tokens, values.bits, values.group)
    sizes = (heads, rows, dim, keys.tokens, keys.bits, keys.group, *rounded)
    failed = library.scbench_dequant_decode(
        *(ctypes.c_void_p(None if tensor is None else tensor.data_ptr()) for tensor in pointers),
        (ctypes.c_int64 * len(steps))(*steps),
        *(ctypes.c_int64(size) for size in sizes),
        ctypes.c_float(scale),
        ctypes.c_int64(torch.get_num_threads()),
    )
    if failed:
        raise ScbenchError(f"the kernel {NAME} reads 2 or 4 bits, not {keys.bits} and {rounded[1]}")
    return Partial(out_GND.to(q_GND.dtype), lse_GN)


def _whole_heads(tensor: Tensor) -> Tensor:
    """Heads may lie apart, as in the beginning of a longer buffer, but each in one piece."""
    return tensor if tensor[0].is_contiguous() else tensor.contiguous()
