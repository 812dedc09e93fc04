"""Quantised KV: keys and values in 2 or 4 bits, in groups of tokens that fill up at points."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scbench.kernels.choose import Kernels
from scbench.kernels.merge import merge
from scbench.kernels.packing import PackedKeys, PackedValues, pack_keys, pack_values
from scbench.kernels.spec import Partial, Spec, Visible
from scbench.segments.base import Footprint, Segment
from scbench.segments.dense import DenseSegment

LEAST = 512  # tokens of a block that successive points share; fewer are copied from point to point


@dataclass(frozen=True)
class Rounding:
    """How to round: `bits`, tokens per `group` of keys (and channels per group of values), and the newest `residual`
    tokens whose values stay exact."""

    bits: int
    group: int
    residual: int


class Block(Segment):
    """Tokens with rounded keys; the values of the first ones are rounded, those of the newest still exact (`v_GnD`)."""

    def __init__(self, start: int, keys: PackedKeys, values: PackedValues | None, v_GnD: Tensor | None) -> None:
        super().__init__(start)
        self.keys = keys
        self.values = values
        self.v_GnD = v_GnD

    @property
    def rounded(self) -> int:
        """How many of its tokens have rounded values."""
        return 0 if self.values is None else self.values.tokens

    @property
    def open(self) -> bool:
        """Whether later tokens are put behind it: it is short."""
        return self.keys.tokens < LEAST

    @property
    def stop(self) -> int:
        """One past its last token."""
        return self.start + self.keys.tokens

    def attend(self, q_GND: Tensor, visible: Visible, spec: Spec, kernels: Kernels) -> Partial:
        """Every row reads everything: a branch has a segment of its own point."""
        if not visible.covers(self.start, self.stop):
            raise RuntimeError("a quantised segment is read as it was at its point, and not in part")
        return kernels.quantised(q_GND, self.keys, self.values, self.v_GnD, spec.scale)

    def footprint(self, stop: int) -> Footprint:
        """Codes, scales, minima and exact values of all its tokens."""
        size = self.keys.bytes() + (0 if self.values is None else self.values.bytes())
        size += 0 if self.v_GnD is None else self.v_GnD.numel() * self.v_GnD.element_size()
        return Footprint(self.keys.tokens, size, size)

    def then(self, keys: PackedKeys, v_GnD: Tensor) -> Block:
        """This block with newer tokens, whose values are exact."""
        old = [] if self.v_GnD is None else [self.v_GnD]
        return Block(self.start, self.keys.then(keys), self.values, torch.cat([*old, v_GnD], dim=1))

    def settled(self, exact_from: int, rule: Rounding) -> list[Block]:
        """The same with its values below position `exact_from` rounded; many that are rounded are a block apart."""
        count = min(self.stop, exact_from) - self.start - self.rounded
        if self.v_GnD is None or count <= 0:
            return [self]
        fresh = pack_values(self.v_GnD[:, :count], rule.bits, rule.group)
        values = fresh if self.values is None else self.values.then(fresh)
        if values.tokens == self.keys.tokens:
            return [Block(self.start, self.keys, values, None)]
        rest_GnD = self.v_GnD[:, count:]
        if rest_GnD.shape[1] < count:  # else little would be freed, and branches would have copies of the same
            rest_GnD = rest_GnD.clone()
        if values.tokens < LEAST:
            return [Block(self.start, self.keys, values, rest_GnD)]
        first, second = self.keys.part(0, values.tokens), self.keys.part(values.tokens, self.keys.tokens)
        return [Block(self.start, first, values, None), Block(self.start + values.tokens, second, None, rest_GnD)]


class QuantisedSegment(Segment):
    """All tokens from `start` to the last full group, rounded; what lies behind it stays dense, outside.

    A group of keys is rounded at the first point that finds it full; values follow when `residual` newer tokens are
    there, in whole groups too. What has been rounded is never rounded again, and long blocks are shared between the
    segments of successive points.
    """

    def __init__(self, start: int, rounding: Rounding, blocks: tuple[Block, ...] = (), later: bool = True) -> None:
        super().__init__(start)
        self._later = later
        self.rounding = rounding
        self.blocks = blocks

    @property
    def absorbs(self) -> bool:
        """Groups that fill up later are rounded too, unless it stays as it is."""
        return self._later

    @property
    def stop(self) -> int:
        """One past the last rounded token."""
        return self.blocks[-1].stop if self.blocks else self.start

    def absorb(self, fresh: DenseSegment) -> QuantisedSegment:
        """Round the groups that are full now."""
        rule, at = self.rounding, self.stop
        full = (fresh.stop - at) // rule.group * rule.group
        blocks = list(self.blocks)
        if full:
            skip = at - fresh.start
            k_GnD, v_GnD = (part[:, skip : skip + full].clone() for part in (fresh.k_GLD, fresh.v_GLD))
            keys = pack_keys(k_GnD, rule.bits, rule.group)
            last = blocks.pop() if blocks and blocks[-1].open else None
            blocks.append(Block(at, keys, None, v_GnD) if last is None else last.then(keys, v_GnD))
        exact_from = max(self.start, (fresh.stop - rule.residual - self.start) // rule.group * rule.group + self.start)
        settled = (part for block in blocks for part in block.settled(exact_from, rule))
        return QuantisedSegment(self.start, rule, tuple(settled), self._later)

    def pieces(self) -> tuple[Segment, ...]:
        """Its blocks."""
        return self.blocks

    def attend(self, q_GND: Tensor, visible: Visible, spec: Spec, kernels: Kernels) -> Partial:
        """Block by block."""
        parts = [block.attend(q_GND, visible, spec, kernels) for block in self.blocks]
        return merge(parts) if parts else Partial.nothing(q_GND)

    def footprint(self, stop: int) -> Footprint:
        """That of its blocks."""
        size = sum(block.footprint(stop).stored for block in self.blocks)
        return Footprint(self.stop - self.start, size, size)


def quantise(cache: DenseSegment, rounding: Rounding, later: bool = True) -> QuantisedSegment:
    """The full groups of a dense segment, rounded; `later` ones too."""
    with torch.no_grad():
        return QuantisedSegment(cache.start, rounding, later=later).absorb(cache)
