"""Rounded KV that grows from point to point: what is rounded when, and what successive points share."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scbench.kernels.choose import Kernels
from scbench.kernels.packing import unpack_keys, unpack_values
from scbench.kernels.spec import Spec, Visible
from scbench.segments.dense import DenseSegment
from scbench.segments.quantised import LEAST, QuantisedSegment, Rounding, quantise

HEADS, DIM = 2, 8


def rounded(x, bits):
    """One group: to `bits` bits between its smallest and largest number, both kept in float16."""
    low, high = x.min(), x.max()
    scale = ((high - low) / (2**bits - 1)).half().float()
    low = low.half().float()
    code = ((x - low) / (scale if scale else 1)).round().clamp(0, 2**bits - 1)
    return code * scale + low


def naive(k, v, stops, rule):
    """Plain loops over points: a group of keys is rounded when it is full, of values when `residual` tokens follow."""
    keys, values, done, settled = k.clone(), v.clone(), 0, 0
    for stop in stops:
        while done + rule.group <= stop:
            for g in range(HEADS):
                for d in range(DIM):
                    keys[g, done : done + rule.group, d] = rounded(k[g, done : done + rule.group, d], rule.bits)
            done += rule.group
        while settled + rule.group <= min(done, stop - rule.residual):
            for g in range(HEADS):
                for t in range(settled, settled + rule.group):
                    for d in range(0, DIM, rule.group):
                        values[g, t, d : d + rule.group] = rounded(v[g, t, d : d + rule.group], rule.bits)
            settled += rule.group
    return keys[:, :done], values[:, :done], settled


def held(segment):
    """Its keys and values as numbers."""
    keys = [unpack_keys(block.keys, torch.float32) for block in segment.blocks]
    values = []
    for block in segment.blocks:
        values += [] if block.values is None else [unpack_values(block.values, torch.float32)]
        values += [] if block.v_GnD is None else [block.v_GnD]
    return torch.cat(keys, dim=1), torch.cat(values, dim=1)


def grown(k, v, stops, rule):
    """The segment of every point."""
    segments, start = [], 0
    for stop in stops:
        fresh = DenseSegment(start, k[:, start:stop], v[:, start:stop])
        segments.append(segments[-1].absorb(fresh) if segments else quantise(fresh, rule))
        start = segments[-1].stop
    return segments


@settings(max_examples=25, deadline=None)
@given(
    first=st.sampled_from([40, 300, LEAST + 64, LEAST + 800]),
    more=st.lists(st.integers(1, 90), max_size=5),
    residual=st.sampled_from([0, 5, 16, 128, 700]),
    bits=st.sampled_from([2, 4]),
    group=st.sampled_from([8, 32]),
    seed=st.integers(0, 99),
)
def test_every_point_holds_what_plain_loops_round(first, more, residual, bits, group, seed):
    """Blocks are a matter of storage: whichever there are, the numbers, bytes and the attention are the same."""
    rule = Rounding(bits, group, residual)
    stops = [first + sum(more[:n]) for n in range(len(more) + 1)]
    k, v = torch.randn(2, HEADS, stops[-1], DIM, generator=torch.Generator().manual_seed(seed))
    q = torch.randn(HEADS, 3, DIM, generator=torch.Generator().manual_seed(seed + 1))
    for number, segment in enumerate(grown(k, v, stops, rule)):
        keys, values, settled = naive(k, v, stops[: number + 1], rule)
        found_keys, found_values = held(segment)
        torch.testing.assert_close(found_keys, keys, atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(found_values, values, atol=1e-6, rtol=1e-6)
        groups, rest = keys.shape[1] // group, keys.shape[1] - settled
        codes = (keys.shape[1] + settled) * DIM * bits // 8
        scales = 2 * 2 * (groups * DIM + settled * -(-DIM // group))
        assert segment.footprint(segment.stop).stored == HEADS * (codes + scales + rest * DIM * 4)
        visible = Visible.of(torch.zeros(3, dtype=torch.long), torch.full((3,), segment.stop))
        part = segment.attend(q, visible, Spec(0.3), Kernels(torch.device("cpu"), torch.float32))
        weight = torch.softmax(0.3 * q @ keys.transpose(1, 2), dim=-1)
        torch.testing.assert_close(part.out_GND, weight @ values, atol=1e-5, rtol=1e-4)


def test_successive_points_share_long_blocks_and_copy_short_ones():
    k, v = torch.randn(2, HEADS, LEAST + 400, DIM, generator=torch.Generator().manual_seed(3))
    first, second, third = grown(k, v, [LEAST + 200, LEAST + 300, LEAST + 400], Rounding(2, 32, 128))
    assert [len(segment.blocks) for segment in (first, second, third)] == [2, 2, 2]
    assert first.blocks[0] is second.blocks[0] is third.blocks[0]
    assert first.blocks[0].rounded >= LEAST
    assert first.blocks[1] is not second.blocks[1]


def test_many_exact_values_are_not_copied_for_a_point():
    """A budget in bytes may keep many: new tokens round a few of them, and the others stay where they are."""
    k, v = torch.randn(2, HEADS, LEAST + 600, DIM, generator=torch.Generator().manual_seed(3))
    first, second = grown(k, v, [LEAST + 500, LEAST + 600], Rounding(2, 32, 900))
    exact = [next(block for block in segment.blocks if block.v_GnD is not None) for segment in (first, second)]
    assert exact[1].v_GnD.untyped_storage().data_ptr() == exact[0].v_GnD.untyped_storage().data_ptr()


def test_nothing_new_is_rounded_until_a_group_is_full():
    k, v = torch.randn(2, HEADS, 41, DIM)
    first, second = grown(k, v, [40, 41], Rounding(2, 32, 0))
    assert second.stop == first.stop == 32
    assert second.blocks == first.blocks
    assert QuantisedSegment(0, Rounding(2, 32, 0)).stop == 0
