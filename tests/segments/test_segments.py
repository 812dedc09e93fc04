"""Segments against the formula: visibility, growth, sharing, selection."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles import attention
from scbench.kernels.choose import Kernels
from scbench.kernels.spec import Spec, Visible
from scbench.segments.dense import DenseSegment

SPEC = Spec(scale=0.4)
HEADS, DIM = 2, 8


def kernels():
    return Kernels(torch.device("cpu"), torch.float32)


def random_kv(tokens, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(HEADS, tokens, DIM, generator=generator) for _ in range(2)]


def check(segment, k, v, offset, low, high, kept=None):
    """The segment's result equals the formula over tokens with low <= position < high (and kept, per head)."""
    rows = len(low)
    q = torch.randn(HEADS, rows, DIM, generator=torch.Generator().manual_seed(9))
    part = segment.attend(q, Visible.of(torch.tensor(low), torch.tensor(high)), SPEC, kernels())

    def seen(g, n):
        inside = range(max(low[n], offset), min(high[n], offset + k.shape[1]))
        return [p - offset for p in inside if kept is None or p in kept[g]]

    out, lse = attention.attend(q, k, v, seen, SPEC.scale)
    torch.testing.assert_close(part.out_GND.double(), out, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(part.lse_GN.double(), lse, atol=1e-5, rtol=1e-5)


intervals = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=6)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 12), st.integers(1, 25), intervals)
def test_dense_sees_exactly_the_visible_interval(start, tokens, bounds):
    k, v = random_kv(tokens)
    low, high = [min(b) for b in bounds], [max(b) for b in bounds]
    check(DenseSegment(start, k, v), k, v, start, low, high)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 12), st.data(), intervals)
def test_kept_sees_exactly_the_visible_kept_tokens(start, data, bounds):
    k, v = random_kv(20)
    size = data.draw(st.integers(1, 20))
    chosen = [data.draw(st.permutations(range(start, start + 20)))[:size] for _ in range(HEADS)]
    kept = DenseSegment(start, k, v).select(torch.tensor([sorted(c) for c in chosen]) - start)
    check(kept, k, v, start, [min(b) for b in bounds], [max(b) for b in bounds], kept=[set(c) for c in chosen])
    check(kept, k, v, start, [0], [start + 20], kept=[set(c) for c in chosen])


actions = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 7)),
        st.tuples(st.just("truncate"), st.integers(0, 30)),
        st.tuples(st.just("fork"), st.just(0)),
    ),
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(actions, st.integers(0, 5))
def test_appending_truncating_and_forking_equal_plain_lists(steps, start):
    """Forks keep what they saw, whatever happens to the segment later, and the other way round."""
    segment = DenseSegment.empty(start, torch.empty(HEADS, 0, DIM), capacity=3)
    expected: list[int] = []
    forks: list[tuple[DenseSegment, list[int]]] = []
    stamp = 0
    for action, amount in steps:
        if action == "append":
            new = list(range(stamp, stamp + amount))
            stamp += amount
            kv = torch.tensor(new, dtype=torch.float32)[None, :, None].expand(HEADS, -1, DIM)
            segment.append(kv, -kv)
            expected = expected + new
        elif action == "truncate":
            segment.truncate(start + amount)
            expected = expected[:amount]
        else:
            fork = segment.shared()
            forks.append((fork, list(expected)))
            if len(forks) % 2 == 0:  # every other fork lives on by itself
                own = torch.full((HEADS, 1, DIM), -1.0)
                fork.append(own, own)
                forks[-1][1].append(-1)
    for held, tokens in [(segment, expected), *forks]:
        assert held.stop == start + len(tokens)
        pieces = held.pieces()
        assert [pieces[0].start, *(piece.stop for piece in pieces)] == [*(piece.start for piece in pieces), held.stop]
        for parts in ([held], pieces):
            assert torch.cat([part.k_GLD for part in parts], dim=1)[0, :, 0].tolist() == tokens
            values = torch.cat([part.v_GLD for part in parts], dim=1)[1, :, -1].tolist()
            assert values == [-t if t >= 0 else t for t in tokens]


def test_forks_from_two_points_have_the_piece_before_the_first_in_common():
    k, v = random_kv(12)
    segment = DenseSegment.empty(3, torch.empty(HEADS, 0, DIM), capacity=12)
    segment.append(k[:, :7], v[:, :7])
    early = segment.shared()
    segment.append(k[:, 7:], v[:, 7:])
    late, again = segment.shared(), segment.shared()
    assert [(piece.start, piece.stop) for piece in late.pieces()] == [(3, 10), (10, 15)]
    assert late.pieces() == again.pieces()
    assert late.pieces()[0] is early.pieces()[0]
    assert early.pieces()[0].k_GLD.data_ptr() == segment.k_GLD.data_ptr()


def test_a_fork_shares_storage_until_someone_writes():
    k, v = random_kv(10)
    segment = DenseSegment(0, k, v)
    assert segment.shared().k_GLD.data_ptr() == segment.k_GLD.data_ptr()


def test_since_keeps_positions():
    k, v = random_kv(10)
    late = DenseSegment(5, k, v).since(9)
    assert (late.start, late.stop) == (9, 15)
    check(late, k[:, 4:], v[:, 4:], 9, [0, 10], [12, 15])


def test_footprints_count_bytes():
    k, v = random_kv(10)
    dense = DenseSegment(4, k, v)
    assert dense.footprint(9).tokens == 5
    assert dense.footprint(9).stored == dense.footprint(9).touched == 2 * HEADS * 5 * DIM * 4
    kept = dense.select(torch.tensor([[0, 3, 9]] * HEADS))
    assert kept.position_GL.tolist() == [[4, 7, 13]] * HEADS
    footprint = kept.footprint(14)
    assert footprint.tokens == 3
    assert footprint.touched == 2 * HEADS * 3 * DIM * 4
    assert footprint.stored == footprint.touched + HEADS * 3 * 8
