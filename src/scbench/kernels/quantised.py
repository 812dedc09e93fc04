"""Attention of few rows over rounded keys and values, made float again a block at a time.

A block's numbers stay in the cache between making and using them; the whole is never held.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scbench.kernels import blockwise
from scbench.kernels.merge import merge
from scbench.kernels.packing import PackedKeys, PackedValues, unpack_keys, unpack_values
from scbench.kernels.spec import Partial

NAME = "quantised"
ELEMENTS = 1 << 18  # of keys, and of values, in a block: 1 MiB each in float32


def attend(q_GND: Tensor, keys: PackedKeys, values: PackedValues, v_rest_GkD: Tensor | None, scale: float) -> Partial:
    """Every row sees all tokens of `keys`; the values of the last k of them are `v_rest_GkD`, the others `values`."""
    heads, dim = keys.code_GnD.shape[0], keys.code_GnD.shape[2]
    whole = math.lcm(keys.group, 8 // keys.bits)  # a block begins with a scale and with a byte
    step = max(1, ELEMENTS // (heads * dim * whole)) * whole
    q32_GND = q_GND.float()
    parts = [
        blockwise.attend(
            q32_GND,
            unpack_keys(keys.part(start, min(start + step, keys.tokens)), torch.float32),
            _values(values, v_rest_GkD, start, min(start + step, keys.tokens)),
            None,
            scale,
        )
        for start in range(0, keys.tokens, step)
    ]
    if not parts:
        return Partial.nothing(q_GND)
    out_GND, lse_GN = merge(parts)
    return Partial(out_GND.to(q_GND.dtype), lse_GN)


def _values(values: PackedValues, v_rest_GkD: Tensor | None, start: int, stop: int) -> Tensor:
    """The values of tokens [start, stop) in float32."""
    n = values.tokens
    packed = slice(min(start, n), min(stop, n))
    parts = values.code_Gnd[:, packed], values.scale_Gnm[:, packed], values.low_Gnm[:, packed]
    v_GnD = unpack_values(PackedValues(*parts, values.bits, values.group, values.dim), torch.float32)
    if v_rest_GkD is None or stop <= n:
        return v_GnD
    return torch.cat([v_GnD, v_rest_GkD[:, max(0, start - n) : stop - n].float()], dim=1)
