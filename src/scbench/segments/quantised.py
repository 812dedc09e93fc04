"""Quantised KV: keys and values in 2 or 4 bits, in groups of tokens that fill up at points."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scbench.kernels.choose import Kernels
from scbench.kernels.merge import merge
from scbench.kernels.packing import PackedKeys, PackedValues, pack_keys, pack_values
from scbench.kernels.spec import Partial, Spec, Visible
from scbench.segments.base import Footprint, Segment
from scbench.segments.dense import DenseSegment


@dataclass(frozen=True)
class Rounding:
    """How to round: `bits`, tokens per `group` of keys (and channels per group of values), and the newest `residual`
    tokens whose values stay exact."""

    bits: int
    group: int
    residual: int


class Block(Segment):
    """Tokens that were rounded together; the values of the newest ones may still be exact (`v_GnD`)."""

    def __init__(self, start: int, keys: PackedKeys, values: PackedValues | None, v_GnD: Tensor | None) -> None:
        super().__init__(start)
        self.keys = keys
        self.values = values
        self.v_GnD = v_GnD

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


class QuantisedSegment(Segment):
    """All tokens from `start` to the last full group, rounded; what lies behind it stays dense, outside.

    A group of keys is rounded at the first point that finds it full; values follow when `residual` newer tokens are
    there, in whole groups too. What has been rounded is never rounded again, and blocks are shared between the
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
        skip = at - fresh.start
        k_GnD, v_GnD = (part[:, skip : skip + full].clone() for part in (fresh.k_GLD, fresh.v_GLD))
        exact_from = max(self.start, (fresh.stop - rule.residual - self.start) // rule.group * rule.group + self.start)
        blocks = [part for block in self.blocks for part in self._settled(block, exact_from)]
        if full:
            blocks += self._settled(Block(at, pack_keys(k_GnD, rule.bits, rule.group), None, v_GnD), exact_from)
        return QuantisedSegment(self.start, rule, tuple(blocks), self._later)

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

    def _settled(self, block: Block, exact_from: int) -> list[Block]:
        """The block, with its values below position `exact_from` rounded."""
        if block.v_GnD is None or exact_from <= block.start:
            return [block]
        rule, tokens = self.rounding, block.keys.tokens
        count = min(tokens, exact_from - block.start)
        values = pack_values(block.v_GnD[:, :count], rule.bits, rule.group)
        if count == tokens:
            return [Block(block.start, block.keys, values, None)]
        first, second = _split(block.keys, count)
        rest_GnD = block.v_GnD[:, count:].clone()
        return [Block(block.start, first, values, None), Block(block.start + count, second, None, rest_GnD)]


def _split(keys: PackedKeys, count: int) -> tuple[PackedKeys, PackedKeys]:
    """The keys before and from token `count` on, a multiple of the group."""
    codes, groups = count * keys.bits // 8, count // keys.group

    def part(code: slice, group: slice) -> PackedKeys:
        return replace(
            keys, code_GnD=keys.code_GnD[:, code], scale_GmD=keys.scale_GmD[:, group], low_GmD=keys.low_GmD[:, group]
        )

    return part(slice(codes), slice(groups)), part(slice(codes, None), slice(groups, None))


def quantise(cache: DenseSegment, rounding: Rounding, later: bool = True) -> QuantisedSegment:
    """The full groups of a dense segment, rounded; `later` ones too."""
    with torch.no_grad():
        return QuantisedSegment(cache.start, rounding, later=later).absorb(cache)
