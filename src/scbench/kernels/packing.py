"""Asymmetric rounding of keys and values to 2 or 4 bits, and the layout of the codes.

Keys are rounded per channel in groups of tokens, values per token in groups of channels (KIVI, arXiv 2402.02750,
§3): code = round((x - min) / scale) with scale = (max - min) / (2^bits - 1). Scales and minima are float16. Codes
lie in uint8, 8 / bits to a byte, the first one in the lowest bits: along the tokens for keys, along the channels for
values (the last byte of a row may be part empty).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class PackedKeys:
    """Keys of n tokens: `code_GnD` `[G, n·bits/8, D]`, `scale_GmD`, `low_GmD` `[G, n/group, D]`; `group` divides n."""

    code_GnD: Tensor
    scale_GmD: Tensor
    low_GmD: Tensor
    bits: int
    group: int

    @property
    def tokens(self) -> int:
        """How many tokens."""
        return self.scale_GmD.shape[1] * self.group

    def bytes(self) -> int:
        """Codes, scales and minima."""
        return sum(t.numel() * t.element_size() for t in (self.code_GnD, self.scale_GmD, self.low_GmD))

    def then(self, other: PackedKeys) -> PackedKeys:
        """These tokens, and behind them others that were rounded alike."""
        code_GnD = torch.cat([self.code_GnD, other.code_GnD], dim=1)
        scale_GmD = torch.cat([self.scale_GmD, other.scale_GmD], dim=1)
        return replace(
            self, code_GnD=code_GnD, scale_GmD=scale_GmD, low_GmD=torch.cat([self.low_GmD, other.low_GmD], dim=1)
        )

    def part(self, start: int, stop: int) -> PackedKeys:
        """Tokens [start, stop), whole groups and bytes, without a copy."""
        code = slice(start * self.bits // 8, stop * self.bits // 8)
        group = slice(start // self.group, stop // self.group)
        tensors = self.code_GnD[:, code], self.scale_GmD[:, group], self.low_GmD[:, group]
        return PackedKeys(*tensors, self.bits, self.group)


@dataclass(frozen=True)
class PackedValues:
    """Values of n tokens: `code_Gnd` `[G, n, ⌈D·bits/8⌉]`, `scale_Gnm`, `low_Gnm` `[G, n, ⌈D/group⌉]`; D = `dim`."""

    code_Gnd: Tensor
    scale_Gnm: Tensor
    low_Gnm: Tensor
    bits: int
    group: int
    dim: int

    @property
    def tokens(self) -> int:
        """How many tokens."""
        return self.code_Gnd.shape[1]

    def bytes(self) -> int:
        """Codes, scales and minima."""
        return sum(t.numel() * t.element_size() for t in (self.code_Gnd, self.scale_Gnm, self.low_Gnm))

    def then(self, other: PackedValues) -> PackedValues:
        """These tokens, and behind them others that were rounded alike."""
        code_Gnd = torch.cat([self.code_Gnd, other.code_Gnd], dim=1)
        scale_Gnm = torch.cat([self.scale_Gnm, other.scale_Gnm], dim=1)
        return replace(
            self, code_Gnd=code_Gnd, scale_Gnm=scale_Gnm, low_Gnm=torch.cat([self.low_Gnm, other.low_Gnm], dim=1)
        )


def pack_keys(k_GnD: Tensor, bits: int, group: int) -> PackedKeys:
    """Round keys per channel in groups of tokens."""
    heads, tokens, dim = k_GnD.shape
    code, scale, low = _round(k_GnD.float().reshape(heads, tokens // group, group, dim), 2, bits)
    return PackedKeys(_pack(code.reshape(heads, tokens, dim), 1, bits), scale.squeeze(2), low.squeeze(2), bits, group)


def pack_values(v_GnD: Tensor, bits: int, group: int) -> PackedValues:
    """Round values per token in groups of channels; the last group of a row may be shorter."""
    dim = v_GnD.shape[-1]
    parts = [_round(part, 2, bits) for part in torch.split(v_GnD.float(), group, dim=-1)]
    code, scale, low = (torch.cat(tensors, dim=-1) for tensors in zip(*parts, strict=True))
    return PackedValues(_pack(code, 2, bits), scale, low, bits, group, dim)


def unpack_keys(packed: PackedKeys, dtype: torch.dtype) -> Tensor:
    """The rounded keys `[G, n, D]`."""
    code_GnD = _unpack(packed.code_GnD, 1, packed.bits)
    scale_GnD, low_GnD = (t.float().repeat_interleave(packed.group, dim=1) for t in (packed.scale_GmD, packed.low_GmD))
    return (code_GnD * scale_GnD + low_GnD).to(dtype)


def unpack_values(packed: PackedValues, dtype: torch.dtype) -> Tensor:
    """The rounded values `[G, n, D]`."""
    code_GnD = _unpack(packed.code_Gnd, 2, packed.bits)[..., : packed.dim]
    wide = (
        t.float().repeat_interleave(packed.group, dim=2)[..., : packed.dim] for t in (packed.scale_Gnm, packed.low_Gnm)
    )
    scale_GnD, low_GnD = wide
    return (code_GnD * scale_GnD + low_GnD).to(dtype)


def _round(x: Tensor, dim: int, bits: int) -> tuple[Tensor, Tensor, Tensor]:
    """Codes, scale and minimum over `dim`, with the codes made of the scale and minimum as they are stored."""
    low, high = x.amin(dim, keepdim=True), x.amax(dim, keepdim=True)
    scale = ((high - low) / (2**bits - 1)).half()
    low = low.half()
    code = ((x - low.float()) / torch.where(scale == 0, 1.0, scale.float())).round().clamp(0, 2**bits - 1)
    return code.to(torch.uint8), scale, low


def _pack(code: Tensor, dim: int, bits: int) -> Tensor:
    each = 8 // bits
    short = -code.shape[dim] % each
    if short:
        shape = list(code.shape)
        shape[dim] = short
        code = torch.cat([code, code.new_zeros(shape)], dim)
    parts = torch.unflatten(code, dim, (-1, each)).unbind(dim + 1)
    packed = parts[0].clone()
    for place, part in enumerate(parts[1:], 1):
        packed |= part << (bits * place)
    return packed


def _unpack(packed: Tensor, dim: int, bits: int) -> Tensor:
    each = 8 // bits
    parts = [(packed >> (bits * place)) & (2**bits - 1) for place in range(each)]
    return torch.stack(parts, dim + 1).flatten(dim, dim + 1)
