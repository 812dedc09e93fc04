"""Plans executed in blocks against the plans' own masks."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from kernels import plan_builders as build
from scbench.kernels import band_prefill, batched, block_prefill, slash_prefill, sparse_prefill, torch_cpu
from scbench.kernels.batched import Blocks
from scbench.kernels.choose import Kernels
from scbench.kernels.plans import Band, BlockSparse, ByHead, VerticalSlash

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float64: 1e-5}


def check(seed, kv_heads, group, rows, start, plan, dtype=torch.float32, total=None):
    total = start + rows if total is None else total
    q, k, v = build.tensors(seed, kv_heads * group, kv_heads, rows, start + rows, 16, dtype)
    wanted, mask = build.expected(q, k, v, plan, start, total)
    k, v = build.poisoned(k, v, mask)
    out = sparse_prefill.attend(q, k, v, plan, build.SCALE, start, total)
    assert out.dtype == dtype
    torch.testing.assert_close(out, wanted, atol=TOLERANCE[dtype], rtol=TOLERANCE[dtype])


dtypes = st.sampled_from(list(TOLERANCE))
heads = st.tuples(st.integers(1, 2), st.integers(1, 3))
places = st.tuples(st.integers(1, 260), st.sampled_from([0, 1, 64, 150, 333]))


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 999), heads, places, build.bands(), dtypes, st.integers(0, 70))
def test_a_band_reads_what_its_mask_says(seed, heads, place, plan, dtype, more):
    check(seed, *heads, *place, plan, dtype, sum(place) + more)


@settings(max_examples=120, deadline=None)
@given(st.data(), st.integers(0, 999), heads, places, dtypes)
def test_columns_and_diagonals_read_what_their_mask_says(data, seed, heads, place, dtype):
    check(seed, *heads, *place, data.draw(build.slashes(heads[0] * heads[1], sum(place))), dtype)


@settings(max_examples=80, deadline=None)
@given(st.data(), st.integers(0, 999), heads, places, dtypes, st.sampled_from([1, 300, 1 << 15]))
def test_blocks_read_what_their_mask_says(data, seed, heads, place, dtype, keys):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(block_prefill, "KEYS", keys)
        check(seed, *heads, *place, data.draw(build.blocks(heads[0] * heads[1], sum(place))), dtype)


def loop(q, k, v, reads):
    """Attention row by row; `reads(head, i, j)` says whether row i reads key j."""
    out = torch.zeros_like(q)
    group = q.shape[0] // k.shape[0]
    for h in range(q.shape[0]):
        for i in range(q.shape[1]):
            keys = [j for j in range(i + 1) if reads(h, i, j)]
            if keys:
                weight = torch.softmax(q[h, i] @ k[h // group, keys].T * build.SCALE, dim=0)
                out[h, i] = weight @ v[h // group, keys]
    return out


@settings(max_examples=15, deadline=None)
@given(st.data(), st.integers(0, 999), st.integers(1, 40))
def test_blocks_and_mixtures_read_what_a_plain_loop_reads(data, seed, rows):
    """The masks themselves, and with them the reference, against words of the plans' definitions."""
    plan = data.draw(st.one_of(build.blocks(4, rows, sizes=(4, 8)), build.mixtures(4, rows)))
    parts = plan.parts if isinstance(plan, ByHead) else (((0, 1, 2, 3), plan),)

    def reads(head, i, j):
        (own,) = [part for part in parts if head in part[0]]
        place, part = own[0].index(head), own[1]
        if isinstance(part, Band):
            return i - j < part.window or j < part.sinks or i >= rows - part.last
        if isinstance(part, BlockSparse):
            return j // part.block in part.block_HQK[place, i // part.block].tolist()
        begin = i // part.block * part.block
        offsets = [o for o in part.offset_HS[place].tolist() if o >= 0]
        return j in part.column_HV[place].tolist() or any(0 <= j - begin + o < part.block for o in offsets)

    q, k, v = build.tensors(seed, 4, 2, rows, rows, 8)
    wanted = loop(q, k, v, reads)
    for storey in ("reference", "auto"):
        found = Kernels(torch.device("cpu"), torch.float32, storey).planned(q, k, v, plan, build.SCALE, 0, rows)
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(0, 999), heads, places, st.integers(0, 70))
def test_heads_of_different_kinds_read_what_their_mask_says(data, seed, heads, place, more):
    rows, start = place
    plan = data.draw(build.mixtures(heads[0] * heads[1], rows + start))
    q, k, v = build.tensors(seed, heads[0] * heads[1], heads[0], rows, start + rows, 16)
    wanted, mask = build.expected(q, k, v, plan, start, start + rows + more)
    k, v = build.poisoned(k, v, mask)
    kernels = Kernels(torch.device("cpu"), torch.float32)
    out = kernels.planned(q, k, v, plan, build.SCALE, start, start + rows + more)
    torch.testing.assert_close(out, wanted, atol=1e-5, rtol=1e-5)
    assert kernels.used == {"sparse_prefill"}


@settings(max_examples=40, deadline=None)
@given(st.data(), st.integers(0, 999), st.sampled_from([16, 64]), st.sampled_from([1, 40, 999]))
def test_small_chunks_of_rows_change_nothing(data, seed, chunk, long):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slash_prefill, "CHUNK", chunk)
        patch.setattr(slash_prefill, "LONG", long)
        patch.setattr(band_prefill, "CHUNK", chunk + 5)
        patch.setattr(batched, "ROWS", 7)
        check(seed, 1, 2, 200, 30, data.draw(build.slashes(2, 230)))
        check(seed, 1, 2, 200, 30, data.draw(build.bands()), torch.float64)


def test_a_prompt_in_chunks_equals_the_whole():
    q, k, v = build.tensors(0, 2, 1, 500, 500, 16)
    columns, offsets = torch.tensor([[3, 77, 300], [-1, 5, 499]]), torch.tensor([[0, 100, 101], [-1, 64, 420]])
    blocks = torch.tensor([[[-1, 0, q]] * 8 for q in (3, 5)])
    for plan in (Band(4, 60, 20), VerticalSlash(columns, offsets), BlockSparse(blocks)):
        whole = sparse_prefill.attend(q, k, v, plan, 0.3, 0, 500)
        parts = [
            sparse_prefill.attend(q[:, a:b], k[:, :b], v[:, :b], plan, 0.3, a, 500)
            for a, b in ((0, 130), (130, 131), (131, 490), (490, 500))
        ]
        torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=1e-5)


def test_a_row_that_reads_nothing_gives_zero():
    plan = VerticalSlash(torch.tensor([[70]]), torch.tensor([[128]]))
    q, k, v = build.tensors(0, 1, 1, 200, 200, 16)
    out = sparse_prefill.attend(q, k, v, plan, 0.3, 0, 200)
    assert (out[:, :70] == 0).all()
    assert (out[:, 70:] != 0).all()


def test_views_of_a_larger_buffer_are_read_where_they_lie():
    """The engine's keys are the beginning of a longer buffer, its queries a transposed projection."""
    q, k, v = build.tensors(0, 4, 2, 300, 300, 16)
    wide = [torch.full((2, 900, 16), float("nan")) for _ in range(2)]
    for buffer, tensor in zip(wide, (k, v), strict=True):
        buffer[:, 100:400] = tensor
    k_view, v_view = (buffer[:, 100:400] for buffer in wide)
    q_view = q.transpose(0, 1).contiguous().transpose(0, 1)
    for plan in (Band(4, 60), VerticalSlash(torch.tensor([[3, 77]] * 4), torch.tensor([[0, 1, 100]] * 4))):
        out = sparse_prefill.attend(q_view, k_view, v_view, plan, build.SCALE, 0, 300)
        torch.testing.assert_close(out, build.expected(q, k, v, plan, 0, 300)[0], atol=1e-5, rtol=1e-5)


@settings(max_examples=60, deadline=None)
@given(st.data(), places, st.integers(0, 70))
def test_density_counts_the_mask(data, place, more):
    rows, start = place
    total = rows + start + more
    kinds = (build.bands(), *(kind(2, rows + start) for kind in (build.slashes, build.blocks, build.mixtures)))
    plan = data.draw(st.one_of(*kinds))
    mask = plan.mask(start, start + rows, total, torch.device("cpu"))
    causal = mask.shape[0] * sum(range(start + 1, start + rows + 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slash_prefill, "ENTRIES", 10)
        assert sparse_prefill.density(plan, start, start + rows, total) == pytest.approx(int(mask.sum()) / causal)


def long_plans(tokens):
    generator = torch.Generator().manual_seed(0)
    columns = torch.stack([torch.randperm(tokens, generator=generator)[:100].sort().values for _ in range(2)])
    offsets = torch.stack([torch.randperm(tokens, generator=generator)[:6].sort().values for _ in range(2)])
    near = torch.arange(128).repeat(2, 1)
    score = torch.rand(2, tokens // 64, tokens // 64, generator=generator).tril()
    return {
        "band": Band(64, 256),
        "slash": VerticalSlash(columns, torch.cat([near, offsets], 1).sort().values),
        "blocks": BlockSparse(score.argsort(-1, descending=True)[..., :9]),
    }


class Largest(TorchDispatchMode):
    """The number of elements of the largest tensor that an operation makes."""

    def __init__(self):
        super().__init__()
        self.storage = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self.storage = max(self.storage, leaf.untyped_storage().nbytes() // leaf.element_size())
        return result


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("name", ["band", "slash", "blocks"])
def test_memory_never_grows_to_rows_times_keys(monkeypatch, name, plain):
    tokens = 4096
    q, k, v = build.tensors(0, 2, 1, tokens, tokens, 16)
    if plain:
        monkeypatch.setattr(torch_cpu, "eligible", lambda device, dtype: False)
        monkeypatch.setattr(batched.blockwise, "SCORES", 1 << 16)
    with Largest() as largest:
        sparse_prefill.attend(q, k, v, long_plans(tokens)[name], 0.25, 0, tokens)
        sparse_prefill.density(long_plans(tokens)[name], 0, tokens, tokens)
    assert largest.storage < tokens * tokens / 6


@pytest.mark.parametrize(("name", "most"), [("band", 1.25), ("slash", 1.35), ("blocks", 1.35)])
def test_hardly_more_is_computed_than_the_plan_says(monkeypatch, name, most):
    """The work given to the operator, in entries, is what makes the plan worth having."""
    tokens, work = 8192, []
    flash = batched._flash

    def watched(q, k, v, scale, bias=None, causal=False) -> Blocks:
        work.append(q.shape[0] * q.shape[1] * q.shape[2] * k.shape[2] / (2 if causal else 1))
        return flash(q, k, v, scale, bias, causal)

    monkeypatch.setattr(batched, "_flash", watched)
    plan = long_plans(tokens)[name]
    q, k, v = build.tensors(0, 2, 1, tokens, tokens, 16)
    sparse_prefill.attend(q, k, v, plan, 0.25, 0, tokens)
    assert sum(work) < most * sparse_prefill.density(plan, 0, tokens, tokens) * 2 * tokens * (tokens + 1) / 2


def test_results_that_see_nothing_join_to_nothing():
    nothing = Blocks(torch.zeros(1, 1, 2, 4), torch.full((1, 1, 2), -torch.inf))
    some = Blocks(torch.ones(1, 1, 2, 4), torch.zeros(1, 1, 2))
    assert (batched.join(nothing, nothing).out_BHND == 0).all()
    assert (batched.join(nothing, nothing).lse_BHN == -torch.inf).all()
    assert (batched.join(nothing, some).out_BHND == 1).all()
    assert (batched.join(some, nothing).out_BHND == 1).all()
