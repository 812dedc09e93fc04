"""Hybrid sparse attention against loops over pages and channels."""

import math

import pytest
import torch

from scbench.kernels import reference
from scbench.kernels.choose import Kernels
from scbench.kernels.spec import Spec, Visible
from scbench.segments import hybrid as module
from scbench.segments.dense import DenseSegment
from scbench.segments.hybrid import Hybrid, HybridSegment

HEADS, GROUP, DIM, TOKENS, SCALE = 2, 3, 8, 40, 0.4
KERNELS = Kernels(torch.device("cpu"), torch.float32)


def made(hybrid, kept=24):
    generator = torch.Generator().manual_seed(2)
    k, v = torch.randn(2, HEADS, TOKENS, DIM, generator=generator)
    index = torch.stack([torch.randperm(TOKENS, generator=generator)[:kept].sort().values for _ in range(HEADS)])
    return k, v, index, HybridSegment(DenseSegment(0, k, v).select(index), hybrid, SCALE)


def asked(branches, tokens):
    q = torch.randn(HEADS, branches * GROUP * tokens, DIM, generator=torch.Generator().manual_seed(3))
    rows = torch.zeros(q.shape[1], dtype=torch.long)
    return q, Visible.of(rows, rows + TOKENS, GROUP, tokens)


def read(q_gD, keys, hybrid):
    """The places among the candidates that one token reads, for one KV head."""
    pages = [range(start, start + hybrid.page) for start in range(0, len(keys), hybrid.page)]
    order = sorted(range(DIM), key=lambda d: -sum(abs(float(q[d])) for q in q_gD))[: hybrid.channels]
    weights = [0.0] * len(pages)
    for q in q_gD:
        score = []
        for page in pages:
            bounds = {
                d: (max if sum(float(one[d]) for one in q_gD) > 0 else min)(keys[n][d] for n in page) for d in order
            }
            score.append(sum(float(q[d]) * float(bounds[d]) for d in order))
        heat = SCALE * math.sqrt(float(q.abs().sum()) / sum(abs(float(q[d])) for d in order))
        for number, share in enumerate(torch.softmax(torch.tensor(score) * heat, 0).tolist()):
            weights[number] += share
    best = sorted(range(len(pages)), key=lambda number: -weights[number])[: hybrid.pages]
    return sorted(place for number in best for place in pages[number])


@pytest.mark.parametrize("hybrid", [Hybrid(3, 2, 4), Hybrid(1, 5, 3), Hybrid(2, 1, 8), Hybrid(4, 9, 1)])
@pytest.mark.parametrize(("branches", "tokens"), [(1, 1), (3, 1), (2, 4)])
@pytest.mark.parametrize("entries", [1 << 26, 1])
def test_every_token_reads_its_pages(hybrid, branches, tokens, entries, monkeypatch):
    monkeypatch.setattr(module, "ENTRIES", entries)
    k, v, index, segment = made(hybrid)
    q, visible = asked(branches, tokens)
    part, seen = segment.attend(q, visible, Spec(SCALE), KERNELS), segment.reads(q, visible).expand(-1, q.shape[1], -1)
    for head in range(HEADS):
        for branch in range(branches):
            for token in range(tokens):
                rows = [(branch * GROUP + one) * tokens + token for one in range(GROUP)]
                places = index[head][read(q[head, rows], k[head, index[head]].tolist(), hybrid)]
                wanted = reference.attend(
                    q[head : head + 1, rows], k[head : head + 1, places], v[head : head + 1, places], None, SCALE
                )
                torch.testing.assert_close(part.out_GND[head, rows], wanted.out_GND[0], atol=1e-5, rtol=1e-4)
                torch.testing.assert_close(part.lse_GN[head, rows], wanted.lse_GN[0], atol=1e-5, rtol=1e-5)
                assert all(seen[head, row].nonzero()[:, 0].tolist() == places.tolist() for row in rows)


def test_a_query_of_zeros_is_no_number_to_divide_by():
    *_, segment = made(Hybrid(3, 2, 4))
    q, visible = asked(1, 1)
    assert segment.attend(q * 0, visible, Spec(SCALE), KERNELS).out_GND.isfinite().all()


@pytest.mark.parametrize(
    ("hybrid", "bounds", "touched"),
    [
        (Hybrid(3, 2, 4), 8 * 2 * DIM, 8 * 4 + 2 * 3 * 2 * DIM),
        (Hybrid(1, 5, 3), 24 * DIM, 24 * 3 + 5 * 2 * DIM),
        (Hybrid(4, 9, 1), 6 * 2 * DIM, 24 * 2 * DIM),  # all pages are read, so no bounds
    ],
)
def test_bytes(hybrid, bounds, touched):
    """Numbers of 4 bytes per KV head: all 40 tokens, a copy of 24 with positions of 8 bytes, and what bounds pages."""
    *_, segment = made(hybrid)
    footprint = segment.footprint(TOKENS)
    assert footprint.tokens == TOKENS
    assert footprint.stored == HEADS * (4 * ((40 + 24) * 2 * DIM + bounds) + 24 * 8)
    assert footprint.touched == HEADS * 4 * touched


def test_pages_must_be_whole():
    with pytest.raises(ValueError, match="24 tokens are no whole pages of 5"):
        made(Hybrid(5, 1, 4))


def test_it_is_read_as_a_whole():
    *_, segment = made(Hybrid(3, 2, 4))
    q, visible = asked(1, 1)
    part = Visible.of(visible.lo_N, visible.hi_N - 1, GROUP, 1)
    with pytest.raises(RuntimeError, match="not in part"):
        segment.attend(q, part, Spec(SCALE), KERNELS)
