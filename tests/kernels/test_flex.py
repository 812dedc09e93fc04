"""Plans as FlexAttention's block masks: the lists of blocks, the rule, and (slow) the compiled kernel."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import plan_builders as build
from scbench.kernels import flex, flex_masks
from scbench.kernels.plans import Band, BlockSparse, VerticalSlash

CPU = torch.device("cpu")
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}
places = st.tuples(st.integers(1, 260), st.sampled_from([0, 1, 64, 150, 333]), st.sampled_from([0, 0, 70]))


def plan_of(data, heads, stop):
    return data.draw(st.one_of(build.bands(), build.slashes(heads, stop), build.blocks(heads, stop)))


@settings(max_examples=80, deadline=None)
@given(st.data(), places, st.sampled_from([32, 128]))
def test_blocks_hold_what_the_mask_holds(data, place, size):
    rows, start, more = place
    stop, total = start + rows, start + rows + more
    plan = plan_of(data, 2, stop)
    mask = plan.mask(start, stop, total, CPU)
    some, full = flex_masks.blocks(plan, start, stop, total, CPU, size)
    assert some.shape == (mask.shape[0], -(-rows // size), -(-stop // size))
    for q in range(some.shape[1]):
        for k in range(some.shape[2]):
            block = mask[:, q * size : (q + 1) * size, k * size : (k + 1) * size].flatten(1)
            assert (block.any(1) <= some[:, q, k]).all()
            assert (full[:, q, k] <= block.all(1)).all()
            if isinstance(plan, Band):  # a diagonal may touch a block in its corner alone, above the causal line
                assert (some[:, q, k] <= block.any(1)).all()


@settings(max_examples=60, deadline=None)
@given(st.data(), places)
def test_the_keys_that_any_row_reads(data, place):
    rows, start, more = place
    plan = plan_of(data, 2, start + rows)
    mask = plan.mask(start, start + rows, start + rows + more, CPU)
    assert torch.equal(flex_masks.read(plan, start, start + rows, start + rows + more, CPU), mask.any(1))


def check(seed, kv_heads, group, place, plan, dtype, compiled):
    rows, start, more = place
    q, k, v = build.tensors(seed, kv_heads * group, kv_heads, rows, start + rows, 16, dtype)
    wanted, mask = build.expected(q, k, v, plan, start, start + rows + more)
    blind = ~mask.any(-1)  # uncompiled, FlexAttention gives something else than 0 there
    k, v = build.poisoned(k, v, mask)
    out = flex.attend(q, k, v, plan, build.SCALE, start, start + rows + more, compiled=compiled)
    assert out.dtype == dtype
    tolerance = TOLERANCE[dtype]
    torch.testing.assert_close(out[~blind], wanted[~blind], atol=tolerance, rtol=tolerance)
    if compiled:
        assert (out[blind] == 0).all()


@pytest.mark.filterwarnings("ignore:.*without torch.compile")
@settings(max_examples=25, deadline=None)
@given(st.data(), st.integers(0, 999), st.integers(1, 2), st.integers(1, 2), places, st.sampled_from(list(TOLERANCE)))
def test_the_rule_reads_what_the_mask_says(data, seed, kv_heads, group, place, dtype):
    plan = plan_of(data, kv_heads * group, place[0] + place[1])
    check(seed, kv_heads, group, place, plan, dtype, compiled=False)


@pytest.mark.slow
@pytest.mark.skipif(not flex.eligible(CPU, torch.float32), reason="no g++")
def test_the_compiled_kernel():
    for dtype in TOLERANCE:
        for place in ((512, 0, 0), (300, 41, 9)):
            check(0, 2, 2, place, Band(20, 130, 30), dtype, compiled=True)
            check(1, 2, 2, place, Band(4, 200, 0), dtype, compiled=True)
            columns = torch.tensor([[1, 70, 250], [-1, 5, 290], [-1, -1, 3], [-1, -1, -1]])
            offsets = torch.tensor([[0, 64, 128, 300], [-1, 0, 1, 65], [-1, -1, 0, 200], [-1, -1, -1, 130]])
            check(2, 2, 2, place, VerticalSlash(columns, offsets), dtype, compiled=True)
            some = torch.randint(-1, 8, (4, 8, 3), generator=torch.Generator().manual_seed(0))
            check(3, 2, 2, place, BlockSparse(some), dtype, compiled=True)


def test_what_cannot_be_compiled_is_not_eligible(monkeypatch):
    assert not flex.eligible(CPU, torch.float64)
    monkeypatch.setattr(flex.shutil, "which", lambda name: None)
    assert not flex.eligible(CPU, torch.float32)
