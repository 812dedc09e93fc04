"""Codes of one to eight bits, packed as planes: of eight codes in a row, byte j holds their bits number j.

So eight codes take exactly as many bytes as a code has bits, 3 bits included. A row whose length is no multiple of
eight is filled up with zeros.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

EIGHT = 8


def pack(code_XD: Tensor, bits: int) -> Tensor:
    """Codes (uint8, each below 2^bits) `[..., D]` as bytes `[..., ⌈D / 8⌉ · bits]`."""
    code_XD = F.pad(code_XD, (0, -code_XD.shape[-1] % EIGHT))
    code_Xm1E = torch.unflatten(code_XD, -1, (-1, 1, EIGHT))
    plane_b1, place_E = (torch.arange(n, dtype=torch.uint8, device=code_XD.device) for n in (bits, EIGHT))
    bit_XmbE = (code_Xm1E >> plane_b1.unsqueeze(-1)) & 1
    return (bit_XmbE << place_E).sum(-1, dtype=torch.uint8).flatten(-2)


def unpack(packed_XB: Tensor, bits: int, codes: int) -> Tensor:
    """The first so many codes of every row, as uint8 `[..., codes]`.

    Eight codes are made at once, as the bytes of one word: a table spreads the bits of a plane's byte over eight bytes.
    """
    spread_C = _spread().to(packed_XB.device)
    plane_Xmb = torch.unflatten(packed_XB, -1, (-1, bits)).int()
    word_X = torch.zeros(plane_Xmb.shape[:-1].numel(), dtype=torch.int64, device=packed_XB.device)
    for plane, byte_Xm in enumerate(plane_Xmb.unbind(-1)):
        word_X |= spread_C.index_select(0, byte_Xm.reshape(-1)) << plane
    return word_X.view(torch.uint8).reshape(*plane_Xmb.shape[:-2], EIGHT * plane_Xmb.shape[-2])[..., :codes]


def levels(packed_XB: Tensor, bits: int, level_C: Tensor, dim: int) -> Tensor:
    """The numbers that the first `dim` codes of every row stand for: `level_C[code]`, `[..., dim]`."""
    code_XD = unpack(packed_XB, bits, dim)
    return level_C.index_select(0, code_XD.reshape(-1).int()).reshape(code_XD.shape)


@cache
def _spread() -> Tensor:
    """For every byte eight bytes in a word, of which number j is the byte's bit number j."""
    bit_C8 = torch.arange(256, dtype=torch.uint8).unsqueeze(-1) >> torch.arange(EIGHT, dtype=torch.uint8) & 1
    return bit_C8.view(torch.int64).squeeze(-1)
