"""Every kernel against the formula, and the merge rule against the undivided result."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import plan_builders as build
from oracles import attention
from scbench.errors import ScbenchError
from scbench.kernels import blockwise, masked, reference, torch_cpu, torch_cuda
from scbench.kernels.choose import Kernels
from scbench.kernels.merge import merge, merge_rows, with_sinks
from scbench.kernels.spec import Partial

CPU = torch.device("cpu")
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}


def tensors(seed, heads, rows, keys, dim, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(heads, rows, dim), (heads, keys, dim), (heads, keys, dim)]
    return [torch.randn(shape, generator=generator).to(dtype) for shape in shapes]


def close(part: Partial, out, lse, dtype=torch.float32):
    torch.testing.assert_close(part.out_GND.double(), out, atol=TOLERANCE[dtype], rtol=TOLERANCE[dtype])
    torch.testing.assert_close(part.lse_GN.double(), lse, atol=TOLERANCE[dtype], rtol=TOLERANCE[dtype])


sizes = st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 40), st.sampled_from([4, 16, 24]))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 999), sizes, st.sampled_from([torch.float32, torch.bfloat16]))
@pytest.mark.parametrize("kernel", ["reference", "blockwise", "torch_cpu", "torch_cpu in halves"])
def test_unmasked(kernel, seed, size, dtype):
    q, k, v = tensors(seed, *size, dtype)
    expected = attention.attend(q, k, v, lambda g, n: range(k.shape[1]), 0.3)
    if kernel.startswith("torch_cpu"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch_cpu, "FROM", 2 if kernel.endswith("halves") else 1000)
            close(torch_cpu.attend(q, k, v, 0.3), *expected, dtype)
    else:
        module = {"reference": reference, "blockwise": blockwise}[kernel]
        close(module.attend(q, k, v, None, 0.3), *expected, dtype)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 999), sizes)
@pytest.mark.parametrize("alike", [False, True])
@pytest.mark.parametrize("module", [reference, blockwise, masked])
def test_masked_rows_may_see_nothing(module, alike, seed, size):
    q, k, v = tensors(seed, *size)
    heads = 1 if alike else q.shape[0]
    mask = torch.rand(heads, q.shape[1], k.shape[1], generator=torch.Generator().manual_seed(seed)) < 0.4
    mask[:, 0] = False
    expected = attention.attend(q, k, v, lambda g, n: mask[min(g, heads - 1), n].nonzero().flatten().tolist(), 0.3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(masked, "ENTRIES", heads * k.shape[1] * 4)  # blocks of four rows
        close(module.attend(q, k, v, mask, 0.3), *expected)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999), sizes, st.sampled_from([0.5, 3.0, 50.0]), st.booleans())
@pytest.mark.parametrize("storey", ["auto", "reference"])
def test_soft_capped(storey, seed, size, softcap, masked):
    q, k, v = tensors(seed, *size)
    mask = torch.ones(q.shape[0], q.shape[1], k.shape[1], dtype=torch.bool)
    kernels = Kernels(CPU, torch.float32, storey).under(softcap)
    if masked:
        mask = torch.rand(mask.shape, generator=torch.Generator().manual_seed(seed)) < 0.5
        part = kernels.masked(q, k, v, mask, 2.0)
    else:
        part = kernels.full(q, k, v, 2.0)
    close(part, *attention.attend(q, k, v, lambda g, n: mask[g, n].nonzero().flatten().tolist(), 2.0, softcap))


def test_soft_capped_causal():
    q, k, v = torch.randn(4, 7, 8), torch.randn(2, 7, 8), torch.randn(2, 7, 8)
    out, lse = Kernels(CPU, torch.float32).under(1.5).causal(q, k, v, 2.0)
    per_head = attention.attend(
        q, k.repeat_interleave(2, 0), v.repeat_interleave(2, 0), lambda g, n: range(n + 1), 2.0, 1.5
    )
    close(Partial(out, lse), *per_head)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999), st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(1, 9))
def test_sinks_join_a_row_once(seed, kv_heads, group, tokens, keys):
    """Two branches: the rows of a KV head are branches, query heads of the group, tokens."""
    batch = 2
    q, k, v = tensors(seed, kv_heads, batch * group * tokens, keys, 8)
    sinks = torch.randn(kv_heads * group, generator=torch.Generator().manual_seed(seed)) * 3
    parts = [reference.attend(q, k[:, at : at + 4], v[:, at : at + 4], None, 0.3) for at in range(0, keys, 4)]
    parts[0] = with_sinks(parts[0], sinks, batch)
    merged = merge([*parts, Partial.nothing(q)])
    each = group * tokens
    for branch in range(batch):
        rows = slice(branch * each, (branch + 1) * each)
        expected = attention.attend(q[:, rows], k, v, lambda g, n: range(keys), 0.3, None, sinks)[0]
        torch.testing.assert_close(merged.out_GND[:, rows].double(), expected, atol=1e-5, rtol=1e-5)


@given(st.integers(0, 999), st.integers(1, 3), st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_rows_join_what_they_are_told_to(seed, heads, rows):
    """Three parts of the keys, of which each row has some, at a place of its own."""
    q, k, v = tensors(seed, heads, rows, 12, 8)
    generator = torch.Generator().manual_seed(seed)
    has = torch.rand(3, rows, generator=generator) < 0.6
    has[seed % 3] = True
    parts, row_KN, at = [], torch.full((3, rows), -1), 0
    for part in range(3):
        seen = has[part].nonzero().flatten()[torch.randperm(int(has[part].sum()), generator=generator)]
        keys = slice(part * 4, part * 4 + 4)
        parts.append(reference.attend(q[:, seen], k[:, keys], v[:, keys], None, 0.3))
        row_KN[part, seen] = torch.arange(len(seen)) + at
        at += len(seen)
    wanted = reference.attend(q, k, v, has.repeat_interleave(4, 0).T[None].expand(heads, -1, -1), 0.3)
    found = merge_rows(parts, row_KN)
    torch.testing.assert_close(found.out_GND, wanted.out_GND, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.lse_GN, wanted.lse_GN, atol=1e-5, rtol=1e-5)


def test_a_row_that_sees_nothing_but_sinks_is_zero():
    q = torch.randn(2, 6, 4)
    part = with_sinks(Partial.nothing(q), torch.tensor([1.0, 2.0]), 3)
    assert part.out_GND.abs().max() == 0
    assert part.lse_GN.tolist() == [[1.0] * 6, [2.0] * 6]


def test_blocks_of_rows_change_nothing(monkeypatch):
    q, k, v = tensors(1, 2, 11, 30, 8)
    mask = torch.rand(1, 11, 30) < 0.5
    whole = reference.attend(q, k, v, mask, 0.3)
    monkeypatch.setattr(blockwise, "SCORES", 2 * 30 * 3)
    calls = []
    plain = blockwise._attend
    monkeypatch.setattr(blockwise, "_attend", lambda *a: calls.append(a[0].shape[1]) or plain(*a))
    blocks = blockwise.attend(q, k, v, mask, 0.3)
    assert calls == [3, 3, 3, 2]
    torch.testing.assert_close(blocks.out_GND, whole.out_GND)
    torch.testing.assert_close(blocks.lse_GN, whole.lse_GN)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999), st.integers(1, 3), st.integers(1, 4), st.integers(1, 20))
@pytest.mark.parametrize("storey", ["auto", "reference"])
def test_causal_with_grouped_heads(storey, seed, kv_heads, group, tokens):
    q, k, v = (
        torch.randn(h, tokens, 8, generator=torch.Generator().manual_seed(seed + i))
        for i, h in enumerate([kv_heads * group, kv_heads, kv_heads])
    )
    out, lse = Kernels(CPU, torch.float32, storey).causal(q, k, v, 0.3)
    per_head = attention.attend(
        q, k.repeat_interleave(group, 0), v.repeat_interleave(group, 0), lambda g, n: range(n + 1), 0.3
    )
    close(Partial(out, lse), *per_head)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 999), sizes, st.data())
def test_any_partition_of_the_keys_merges_to_the_whole(seed, size, data):
    q, k, v = tensors(seed, *size)
    parts_of_key = data.draw(st.lists(st.integers(0, 3), min_size=k.shape[1], max_size=k.shape[1]))
    parts = []
    for part in range(4):
        keys = [j for j, p in enumerate(parts_of_key) if p == part]
        parts.append(reference.attend(q, k[:, keys], v[:, keys], None, 0.3) if keys else Partial.nothing(q))
    close(merge(parts), *attention.attend(q, k, v, lambda g, n: range(k.shape[1]), 0.3))


@pytest.mark.parametrize(("heads", "rows", "keys"), [(1, 2, 512), (1, 32, 4001), (3, 30, 4609)])
def test_long_keys_of_few_heads_are_read_in_halves_and_no_further(heads, rows, keys):
    """What lies behind the keys in their buffer is not read, and no key is left out between the halves."""
    q, k, v = tensors(5, heads, rows, keys, 16)
    whole = torch_cpu.attend(q, k, v, 0.3)
    wide_k, wide_v = (torch.cat([x, torch.full_like(x, torch.nan)], dim=1)[:, :keys] for x in (k, v))
    part = torch_cpu.attend(q, wide_k, wide_v, 0.3)
    assert torch.equal(part.out_GND, whole.out_GND) and torch.equal(part.lse_GN, whole.lse_GN)
    expected = reference.attend(q.double(), k.double(), v.double(), None, 0.3)
    close(part, expected.out_GND.double(), expected.lse_GN.double())


def test_merge_survives_large_scores():
    q, k, v = tensors(3, 2, 5, 12, 8)
    parts = [reference.attend(q * 200, k[:, s], v[:, s], None, 1.0) for s in (slice(0, 5), slice(5, 12))]
    close(merge(parts), *attention.attend(q * 200, k, v, lambda g, n: range(12), 1.0))


def test_poisoned_keys_outside_the_range_do_not_leak():
    q, k, v = tensors(4, 2, 5, 12, 8)
    expected = attention.attend(q, k, v, lambda g, n: range(3, 9), 0.3)
    k[:, :3] = k[:, 9:] = v[:, :3] = v[:, 9:] = float("nan")
    close(torch_cpu.attend(q, k[:, 3:9], v[:, 3:9], 0.3), *expected)


@pytest.mark.parametrize(
    ("storey", "dtype", "name"),
    [
        ("auto", torch.float32, "aten_flash_cpu"),
        ("auto", torch.bfloat16, "aten_flash_cpu"),
        ("auto", torch.float64, "blockwise"),
        ("reference", torch.float32, "reference"),
    ],
)
def test_the_kernel_that_ran_is_recorded_and_is_the_one_expected(monkeypatch, storey, dtype, name):
    """Fails if a kernel silently falls back: the module that was called is watched, not the recorded name alone."""
    called = []
    for module in (torch_cpu, blockwise, reference):
        plain = module.attend
        monkeypatch.setattr(module, "attend", lambda *a, m=module.NAME, f=plain: called.append(m) or f(*a))
    kernels = Kernels(CPU, dtype, storey)
    kernels.full(*tensors(0, 1, 2, 3, 4, dtype), 0.5)
    assert called[0] == name
    assert kernels.used == {name}


def test_a_soft_cap_takes_the_kernel_that_has_one():
    kernels = Kernels(CPU, torch.float32)
    kernels.under(30.0).full(*tensors(0, 1, 2, 3, 4), 0.5)
    assert kernels.used == {"blockwise"}
    assert kernels.under(30.0) is kernels.under(30.0)
    kernels.under(30.0).under(None).full(*tensors(0, 1, 2, 3, 4), 0.5)
    assert kernels.under(None) is kernels
    assert kernels.used == {"blockwise", "aten_flash_cpu"}


def test_an_unknown_storey_is_refused():
    with pytest.raises(ScbenchError, match=r"engine\.kernels=fast: expected one of auto, reference"):
        Kernels(CPU, torch.float32, "fast")


def test_rows_in_pieces_are_read_right():
    """ATen's operator takes strides of the last dimension for 1 and would read other numbers."""
    q, k, v = (torch.randn(2, 16, n).transpose(1, 2) for n in (5, 9, 9))
    out, lse = torch_cpu.attend(q, k, v, 0.25)
    plain = reference.attend(q.contiguous(), k.contiguous(), v.contiguous(), None, 0.25)
    torch.testing.assert_close(out, plain.out_GND)
    torch.testing.assert_close(lse, plain.lse_GN)


@given(st.data(), st.integers(0, 999), st.integers(1, 2), st.integers(1, 2), st.integers(1, 40))
@settings(max_examples=30, deadline=None)
def test_the_reference_of_a_plan_is_what_its_mask_says(data, seed, kv_heads, group, rows):
    start = data.draw(st.sampled_from([0, 3, 17]))
    plan = data.draw(build.slashes(kv_heads * group, start + rows, blocks=(4, 16)))
    q, k, v = build.tensors(seed, kv_heads * group, kv_heads, rows, start + rows, 8, torch.float32)
    wanted, _ = build.expected(q, k, v, plan, start, start + rows)
    kernels = Kernels(CPU, torch.float32, "reference")
    torch.testing.assert_close(kernels.planned(q, k, v, plan, build.SCALE, start, start + rows), wanted)
    assert kernels.used == {"reference"}


@given(st.integers(0, 999), st.floats(0.5, 30), st.booleans())
@settings(max_examples=20, deadline=None)
def test_scores_are_capped_by_blocks_as_by_the_plain_kernel(seed, softcap, masked):
    q, k, v = tensors(seed, 2, 5, 9, 8)
    mask = torch.rand(1, 5, 9, generator=torch.Generator().manual_seed(seed)) < 0.5 if masked else None
    found, wanted = (kernel.attend(q, k, v, mask, 1.3, softcap) for kernel in (blockwise, reference))
    torch.testing.assert_close(found.out_GND, wanted.out_GND)
    torch.testing.assert_close(found.lse_GN, wanted.lse_GN)


def test_a_storey_that_cannot_run_here_is_refused(monkeypatch):
    monkeypatch.setattr("scbench.kernels.triton.available", lambda: False)
    with pytest.raises(ScbenchError, match=r"engine\.kernels=triton: needs triton and a GPU"):
        Kernels(CPU, torch.float32, "triton")
    monkeypatch.setattr("scbench.kernels.flex.eligible", lambda *_: False)
    with pytest.raises(ScbenchError, match=r"engine\.kernels=flex: cannot compile here"):
        Kernels(CPU, torch.float32, "flex")


def test_cudas_flash_attention_is_taken_for_half_precision_only():
    """There is no GPU here: shapes are those of torch's own account of the operator."""
    cuda = torch.device("cuda")
    assert torch_cuda.eligible(cuda, torch.bfloat16)
    assert not torch_cuda.eligible(cuda, torch.float32)
    assert not torch_cuda.eligible(cuda, torch.bfloat16, 30.0)
    assert not torch_cuda.eligible(CPU, torch.bfloat16)
    q, k = (torch.empty(2, n, 64, dtype=torch.bfloat16, device="meta") for n in (7, 50))
    out, lse = torch_cuda.attend(q, k, k, 0.1)
    assert (out.shape, lse.shape, lse.dtype) == ((2, 7, 64), (2, 7), torch.float32)
    out, lse = torch_cuda.attend_causal(q.repeat(2, 1, 1), k[:, :7], k[:, :7], 0.1)
    assert (out.shape, lse.shape) == ((4, 7, 64), (4, 7))
