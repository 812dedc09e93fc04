"""Codes of one to eight bits, packed as planes: of eight codes in a row, byte j holds their bits number j.

So eight codes take exactly as many bytes as a code has bits, 3 bits included. A row whose length is no multiple of
eight is filled up with zeros.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

EIGHT = 8


def row_bytes(codes: int, bits: int) -> int:
    """What a row of so many codes takes."""
    return -(-codes // EIGHT) * bits


def pack(code_XD: Tensor, bits: int) -> Tensor:
    """Codes (uint8, each below 2^bits) `[..., D]` as bytes `[..., ⌈D / 8⌉ · bits]`."""
    code_XD = F.pad(code_XD, (0, -code_XD.shape[-1] % EIGHT))
    code_Xm1E = torch.unflatten(code_XD, -1, (-1, 1, EIGHT))
    plane_b1, place_E = (torch.arange(n, dtype=torch.uint8, device=code_XD.device) for n in (bits, EIGHT))
    bit_XmbE = (code_Xm1E >> plane_b1.unsqueeze(-1)) & 1
    return (bit_XmbE << place_E).sum(-1, dtype=torch.uint8).flatten(-2)


def unpack(packed_XB: Tensor, bits: int, codes: int) -> Tensor:
    """The first so many codes of every row, as uint8 `[..., codes]`."""
    packed_Xmb1 = torch.unflatten(packed_XB, -1, (-1, bits, 1))
    plane_b1, place_E = (torch.arange(n, dtype=torch.uint8, device=packed_XB.device) for n in (bits, EIGHT))
    bit_XmbE = (packed_Xmb1 >> place_E) & 1
    return (bit_XmbE << plane_b1.unsqueeze(-1)).sum(-2, dtype=torch.uint8).flatten(-2)[..., :codes]
