"""Indexed KV against the formula: what is found, what is read, how it grows, what it costs."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from oracles import attention
from scbench.kernels.choose import Kernels
from scbench.kernels.spec import Spec, Visible
from scbench.methods.base import Base, Layer
from scbench.methods.loading.retrieval_attention import RetrievalAttention
from scbench.segments import indexed
from scbench.segments.dense import DenseSegment
from scbench.segments.indexed import IndexedSegment, Indexing
from scbench.segments.nearest_index import Exact, Hnsw, Ivf, Scan

SPEC = Spec(scale=0.4)
HEADS, GROUP, DIM = 2, 3, 8
EXACT = {"exact": Exact(), "ivf": Ivf(0.1, 1.0), "hnsw": Hnsw(8, 60, 400)}  # by reading every list, every candidate


def random_kv(tokens, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(HEADS, tokens, DIM, generator=generator) for _ in range(2)]


def queries(branches, tokens=1, seed=9):
    return torch.randn(HEADS, branches * GROUP * tokens, DIM, generator=torch.Generator().manual_seed(seed))


def whole(branches, tokens, stop):
    rows = branches * GROUP * tokens
    return Visible.of(torch.zeros(rows, dtype=torch.long), torch.full((rows,), stop), GROUP, tokens)


def grown(k, v, pieces, rule):
    """A segment that took over the tokens piece by piece."""
    segment, at = None, 0
    for piece in pieces:
        dense = DenseSegment(at, k[:, at : at + piece], v[:, at : at + piece])
        segment = IndexedSegment.of(dense, rule) if segment is None else segment.absorb(dense)
        at += piece
    return segment


def read(q_D_of_group, k_LD, head, rule, stop):
    """Which tokens the query of `head` reads."""
    best = {}
    for place in range(rule.sinks, stop - rule.window):
        products = [float(q_D.double() @ k_LD[place].double()) for q_D in q_D_of_group]
        best[place] = sum(products) if rule.together else products[head]
    found = sorted(best, key=best.get, reverse=True)[: rule.k]
    return [place for place in range(stop) if place not in best or place in found]


def check(segment, q, branches, tokens, k, v, rule):
    """Out, log-sum-exp and `reads` are those of the formula."""
    stop = segment.stop
    visible = whole(branches, tokens, stop)

    def seen(g, n):
        branch, head, token = n // (GROUP * tokens), n // tokens % GROUP, n % tokens
        group = [q[g, (branch * GROUP + h) * tokens + token] for h in range(GROUP)]
        return read(group, k[g], head, rule, stop)

    part = segment.attend(q, visible, SPEC, Kernels(torch.device("cpu"), torch.float32))
    out, lse = attention.attend(q, k[:, :stop], v[:, :stop], seen, SPEC.scale)
    torch.testing.assert_close(part.out_GND.double(), out, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(part.lse_GN.double(), lse, atol=1e-5, rtol=1e-5)
    marked = segment.reads(q, visible).expand(HEADS, q.shape[1], stop)
    assert all(marked[g, n].nonzero()[:, 0].tolist() == seen(g, n) for g in range(HEADS) for n in range(q.shape[1]))


@settings(max_examples=25, deadline=None)
@given(
    pieces=st.lists(st.integers(1, 25), min_size=1, max_size=4),
    sinks=st.integers(0, 6),
    window=st.integers(0, 9),
    k=st.integers(1, 12),
    together=st.booleans(),
    scan=st.sampled_from([0, 10, 1000]),
    branches=st.integers(1, 2),
    tokens=st.integers(1, 3),
)
@example([5, 20], 2, 3, 4, False, 0, 1, 1)  # at the first point nothing lies between sinks and window
def test_exact_reads_the_best_sinks_and_window_however_it_grew(
    pieces, sinks, window, k, together, scan, branches, tokens
):
    rule = Indexing(sinks, window, k, together, Exact(), scan, GROUP)
    keys, values = random_kv(sum(pieces))
    segment = grown(keys, values, pieces, rule)
    check(segment, queries(branches, tokens), branches, tokens, keys, values, rule)


@pytest.mark.parametrize("name", ["ivf", "hnsw"])
@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("pieces", [[300], [200, 60, 40]])
def test_an_index_that_looks_everywhere_reads_what_exact_reads(name, together, pieces):
    rule = Indexing(4, 16, 20, together, EXACT[name], 30, GROUP)
    keys, values = random_kv(300)
    segment = grown(keys, values, pieces, rule)
    assert {shelf.index.name for shelf in segment.shelves} == {f"faiss_{name}"}
    check(segment, queries(2), 2, 1, keys, values, rule)


@pytest.mark.parametrize(("together", "tokens"), [(True, 1), (True, 4), (False, 2)])
def test_many_rows_are_read_in_blocks(together, tokens, monkeypatch):
    monkeypatch.setattr(indexed, "FOUND", 5 * HEADS * 6 * DIM)  # five rows
    rule = Indexing(2, 3, 6, together, Exact(), 8, GROUP)
    keys, values = random_kv(40)
    segment = grown(keys, values, [30, 10], rule)
    check(segment, queries(3, tokens), 3, tokens, keys, values, rule)


def test_earlier_segments_do_not_find_what_came_later():
    rule = Indexing(0, 2, 3, False, Exact(), 8, GROUP)
    keys, values = random_kv(40)
    early = grown(keys, values, [20], rule)
    keys[:, 20:] *= 100  # the best for every query that they suit
    late = early.absorb(DenseSegment(20, keys[:, 20:], values[:, 20:]))
    check(early, queries(1), 1, 1, keys, values, rule)
    check(late, queries(1), 1, 1, keys, values, rule)
    assert late.shelves[0] is early.shelves[0]


@pytest.mark.parametrize("name", EXACT)
def test_tokens_that_are_not_found_are_not_read(name):
    """Poison in all of them changes nothing."""
    rule = Indexing(4, 8, 10, False, EXACT[name], 0, GROUP)
    keys, values = random_kv(200)
    segment, q, visible = grown(keys, values, [200], rule), queries(1), whole(1, 1, 200)
    kernels = Kernels(torch.device("cpu"), torch.float32)
    clean = segment.attend(q, visible, SPEC, kernels)
    unread_GL = ~segment.reads(q, visible).any(1)
    assert int(unread_GL.sum()) > 200
    values[unread_GL] = torch.nan
    if name != "exact":  # a scan reads the keys of the cache
        keys[unread_GL] = torch.nan
    poisoned = segment.attend(q, visible, SPEC, kernels)
    assert torch.equal(poisoned.out_GND, clean.out_GND) and torch.equal(poisoned.lse_GN, clean.lse_GN)


def clustered(tokens, dim=32):
    """Keys as models have them: a large part in common, clusters, some directions wider than others, and queries that
    are not like keys."""
    generator = torch.Generator().manual_seed(1)

    def drawn(*size):
        return torch.randn(*size, generator=generator)

    wide_D = torch.logspace(0.3, -0.3, dim)
    centre_LD = drawn(40, dim)[torch.randint(40, (tokens,), generator=generator)]
    keys = 5 * drawn(dim) + (centre_LD + 0.5 * drawn(tokens, dim)) * wide_D
    return keys.unsqueeze(0), (drawn(1, 64, dim) + drawn(dim)) * wide_D.flip(0)


@pytest.mark.parametrize("index", ["hnsw", "ivf"])
def test_the_defaults_find_most(index):
    keys, q = clustered(2000)
    method = RetrievalAttention(k=50, sinks=0, window=0, index=index)
    made = method.load(DenseSegment(0, keys, keys), Layer(0, 1), Base(2000))
    best = (q @ keys.transpose(1, 2)).topk(50).indices[0].tolist()
    found = made.choose(q, Visible.of(torch.zeros(64), torch.full((64,), 2000)))[0].tolist()
    assert {shelf.index.name for shelf in made.shelves} == {f"faiss_{index}"}
    assert sum(len(set(a) & set(b)) for a, b in zip(found, best, strict=True)) >= 0.9 * 50 * 64


@pytest.mark.parametrize("recipe", [Hnsw(4, 8, 8), Ivf(0.1, 0.1)])
def test_an_index_is_the_same_every_time_and_for_every_batch(recipe):
    (keys, _), q = random_kv(500), queries(4)
    one, other = recipe.build([keys]), recipe.build([keys[:, :200], keys[:, 200:]])
    assert torch.equal(one.search(q, 20).place_GNK, other.search(q, 20).place_GNK)
    alone = torch.cat([one.search(q[:, n : n + 1], 20).place_GNK for n in range(q.shape[1])], dim=1)
    assert torch.equal(one.search(q, 20).place_GNK, alone)


@pytest.mark.parametrize("recipe", EXACT.values(), ids=EXACT)
def test_products_are_those_of_query_and_key(recipe):
    keys, _ = random_kv(100)
    found = recipe.build([keys + 3]).search(queries(1), 7)
    score_GNL = queries(1) @ (keys + 3).transpose(1, 2)
    torch.testing.assert_close(found.score_GNK, score_GNL.topk(7).values, atol=1e-4, rtol=1e-5)


def test_too_few_lists_leave_places_empty():
    keys, _ = random_kv(100)
    found = Ivf(0.2, 0.01).build([keys]).search(queries(1), 60)
    assert bool((found.place_GNK < 0).any())
    assert torch.equal(found.place_GNK < 0, found.score_GNK == -torch.inf)
    rule = Indexing(2, 3, 60, False, Ivf(0.2, 0.01), 0, GROUP)
    segment, q, visible = grown(keys, keys, [100], rule), queries(1), whole(1, 1, 100)
    read_GNL = segment.reads(q, visible)
    assert bool((read_GNL.sum(-1) < 65).any()) and bool((read_GNL.sum(-1) > 5).all())
    part = segment.attend(q, visible, SPEC, Kernels(torch.device("cpu"), torch.float32))
    _, lse = attention.attend(q, keys, keys, lambda g, n: read_GNL[g, n].nonzero()[:, 0], SPEC.scale)
    torch.testing.assert_close(part.lse_GN.double(), lse, atol=1e-5, rtol=1e-5)


def test_a_short_shelf_is_made_anew():
    keys, values = random_kv(170)
    rule = Indexing(0, 0, 5, False, Hnsw(4, 8, 8), 50, GROUP)
    sizes = [[shelf.index.tokens for shelf in grown(keys, values, [100, *[20] * n], rule).shelves] for n in range(4)]
    assert sizes == [[100], [100, 20], [100, 40], [100, 60]]
    assert [shelf.index.name for shelf in grown(keys, values, [100, 20, 20, 20, 10], rule).shelves] == [
        *("faiss_hnsw", "faiss_hnsw"),
        "nearest_scan",
    ]


def test_records_name_what_was_searched():
    keys, values = random_kv(120)
    segment = grown(keys, values, [80, 40], Indexing(2, 3, 5, False, Hnsw(4, 8, 8), 50, GROUP))
    kernels = Kernels(torch.device("cpu"), torch.float32)
    segment.attend(queries(1), whole(1, 1, 120), SPEC, kernels)
    assert {"faiss_hnsw", "nearest_scan"} < kernels.used


def test_a_view_of_a_part_is_refused():
    keys, values = random_kv(30)
    segment = grown(keys, values, [30], Indexing(2, 3, 5, False, Exact(), 0, GROUP))
    with pytest.raises(RuntimeError, match="not in part"):
        segment.attend(queries(1), whole(1, 1, 29), SPEC, Kernels(torch.device("cpu"), torch.float32))


@pytest.mark.parametrize(("together", "choices"), [(True, 1), (False, GROUP)])
def test_footprints_count_what_is_read(together, choices):
    keys, values = random_kv(200)
    token = 2 * HEADS * DIM * 4
    scanned = grown(keys, values, [200], Indexing(4, 16, 20, together, Exact(), 0, GROUP)).footprint(200)
    assert (scanned.tokens, scanned.stored) == (200, 200 * token)
    assert scanned.touched == (20 + choices * 20) * token + 180 * token // 2
    lists = grown(keys, values, [200], Indexing(4, 16, 20, together, Ivf(0.1, 1 / 6), 0, GROUP)).footprint(200)
    copied, centres = HEADS * 180 * (DIM * 4 + 8), HEADS * 18 * DIM * 4
    assert lists.stored == 200 * token + copied + centres
    assert lists.touched == (20 + choices * 20) * token + centres + copied * choices // 6
    graph = grown(keys, values, [200], Indexing(4, 16, 20, together, Hnsw(4, 8, 8), 0, GROUP)).footprint(200)
    assert graph.stored > 200 * token + HEADS * 180 * (DIM * 4 + 8 * 4)  # keys, and twice m links on the lowest level
    assert (20 + choices * 20) * token < graph.touched < (20 + choices * 20) * token + graph.stored
    every = grown(keys, values, [200], Indexing(4, 16, 180, together, Exact(), 0, GROUP)).footprint(200)
    assert every.touched == every.stored == 200 * token


def test_a_scan_copies_nothing():
    keys, _ = random_kv(30)
    index = Scan([keys[:, :20], keys[:, 20:]])
    assert (index.tokens, index.bytes) == (30, 0)
    keys.zero_()
    assert not index.search(queries(1), 4).score_GNK.any()
