"""Vectors rounded coordinate by coordinate after a random rotation (TurboQuant, arXiv 2504.19874, algorithms 1 and 2).

A vector x is stored as its norm and the codes of its turned direction y = R x / ‖x‖: R is a random rotation, so the
coordinates of y are distributed as those of any random direction, whatever x is, and the best levels are known without
looking at data. What is made of the codes is R x̃, still turned: inner products are the same if both sides are turned.

With a sketch, one of the bits makes inner products right on average. Of the rest r = y - ỹ it stores ‖r‖ and the signs
z of S r, with S of independent normal numbers; y is then taken to be ỹ + √(π/2) / D · ‖r‖ · Sᵀ z, whose inner product
with any vector has the right mean over S.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from scbench.kernels import codes
from scbench.kernels.lloyd_max import levels

Levels = Callable[[Tensor, int, Tensor, int], Tensor]  # (codes, their bits, levels, codes of a row)


@dataclass(frozen=True)
class Coder:
    """How vectors are rounded: `level_C`, ascending, the rotation R `turn_DD`, and S `sketch_DD` where there is one."""

    bits: int
    level_C: Tensor
    turn_DD: Tensor
    sketch_DD: Tensor | None = None

    @classmethod
    def of(cls, dim: int, bits: int, seed: int, sketched: bool, device: torch.device) -> Coder:
        """For vectors of `dim` numbers, `bits` for each coordinate, of which a sketch takes one.

        The same seed gives the same rotation everywhere. Rotation, sketch and levels belong to no vector.
        """
        turn_DD, sketch_DD = (part.to(device) for part in _drawn(dim, seed))
        level_C = torch.tensor(levels(dim, bits - sketched), device=device)
        return cls(bits - sketched, level_C, turn_DD, sketch_DD if sketched else None)


@dataclass(frozen=True)
class Coded:
    """Rounded vectors: packed codes, norms in float16, and with a sketch the packed signs and norms of the rest."""

    code_Gnb: Tensor
    norm_Gn: Tensor
    sign_Gnb: Tensor | None = None
    rest_Gn: Tensor | None = None

    @property
    def tokens(self) -> int:
        """How many vectors per KV head."""
        return self.norm_Gn.shape[1]

    def bytes(self) -> int:
        """Everything that belongs to the vectors."""
        parts = (self.code_Gnb, self.norm_Gn, self.sign_Gnb, self.rest_Gn)
        return sum(part.numel() * part.element_size() for part in parts if part is not None)

    def part(self, start: int, stop: int) -> Coded:
        """The vectors [start, stop), as views."""
        parts = (self.code_Gnb, self.norm_Gn, self.sign_Gnb, self.rest_Gn)
        return Coded(*(None if part is None else part[:, start:stop] for part in parts))  # type: ignore[arg-type]


def encode(x_GnD: Tensor, coder: Coder) -> Coded:
    """Round vectors."""
    norm_Gn1 = x_GnD.float().norm(dim=-1, keepdim=True)
    unit_GnD = x_GnD.float() / torch.where(norm_Gn1 == 0, 1.0, norm_Gn1)
    y_GnD = turned(unit_GnD, coder)
    border_C = (coder.level_C[1:] + coder.level_C[:-1]) / 2
    code_GnD = torch.bucketize(y_GnD, border_C)
    packed_Gnb, norm_Gn = codes.pack(code_GnD.to(torch.uint8), coder.bits), norm_Gn1.squeeze(-1).half()
    if coder.sketch_DD is None:
        return Coded(packed_Gnb, norm_Gn)
    rest_GnD = y_GnD - coder.level_C[code_GnD]
    sign_GnD = (rest_GnD @ coder.sketch_DD.T >= 0).to(torch.uint8)
    return Coded(packed_Gnb, norm_Gn, codes.pack(sign_GnD, 1), rest_GnD.norm(dim=-1).half())


def decode(coded: Coded, coder: Coder, levels: Levels = codes.levels) -> Tensor:
    """The rounded vectors, turned: `[G, n, D]` in float32; `levels` is what looks the levels up."""
    dim = coder.turn_DD.shape[0]
    y_GnD = levels(coded.code_Gnb, coder.bits, coder.level_C, dim)
    if coder.sketch_DD is not None and coded.sign_Gnb is not None and coded.rest_Gn is not None:
        sign_GnD = codes.unpack(coded.sign_Gnb, 1, dim).float() * 2 - 1
        size_Gn1 = coded.rest_Gn.float().unsqueeze(-1) * (math.sqrt(math.pi / 2) / dim)
        y_GnD = y_GnD + size_Gn1 * (sign_GnD @ coder.sketch_DD)
    return y_GnD * coded.norm_Gn.float().unsqueeze(-1)


def turned(x_GnD: Tensor, coder: Coder) -> Tensor:
    """R x of every vector, in float32."""
    return x_GnD.float() @ coder.turn_DD.T


def unturned(y_GnD: Tensor, coder: Coder) -> Tensor:
    """x of every R x, in float32."""
    return y_GnD.float() @ coder.turn_DD


@cache
def _drawn(dim: int, seed: int) -> tuple[Tensor, Tensor]:
    """A rotation, uniform over all of them, and a matrix of independent normal numbers, both on the CPU.

    The rotation is Q of a normal matrix = Q R in which R has a positive diagonal, without which Q would not be uniform.
    """
    generator = torch.Generator().manual_seed(seed)
    first_DD, second_DD = torch.randn(2, dim, dim, generator=generator, dtype=torch.float64)
    turn_DD, upper_DD = torch.linalg.qr(first_DD)
    return (turn_DD * upper_DD.diagonal().sign()).float(), second_DD.float()
