"""The Triton kernels in Triton's interpreter. Run by `test_triton` in a process of its own, since TRITON_INTERPRET
must be set before triton is imported and would change it for every other test."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import plan_builders as build
from oracles import engine, naive_methods, sequential, tiny
from oracles.method_pairs import METHODS
from scbench.kernels import packing, quantised, reference, triton
from scbench.kernels.plans import VerticalSlash
from scbench.kernels.triton import dequant_decode, paged_decode, splits, vertical_slash
from scbench.methods.generation.minference import MInference

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}
dtypes = st.sampled_from(list(TOLERANCE))
programs = st.sampled_from([1, 7, 512])


def close(actual, wanted, dtype):
    torch.testing.assert_close(actual.float(), wanted.float(), atol=TOLERANCE[dtype], rtol=TOLERANCE[dtype])


def test_it_is_available():
    assert triton.available()


@settings(max_examples=25, deadline=None)
@given(st.data(), st.integers(0, 999), st.integers(1, 2), st.integers(1, 2), st.integers(1, 100), dtypes)
def test_columns_and_diagonals(data, seed, kv_heads, group, rows, dtype):
    start = data.draw(st.sampled_from([0, 1, 64, 130]))
    plan = data.draw(build.slashes(kv_heads * group, start + rows, blocks=(16, 64)))
    dim = data.draw(st.sampled_from([16, 24]))
    q, k, v = build.tensors(seed, kv_heads * group, kv_heads, rows, start + rows, dim, dtype)
    wanted, mask = build.expected(q, k, v, plan, start, start + rows)
    k, v = build.poisoned(k, v, mask)
    assert vertical_slash.eligible(plan)
    out = vertical_slash.attend(q, k, v, plan, build.SCALE, start, start + rows)
    assert out.dtype == dtype
    close(out, wanted, dtype)


def test_blocks_that_are_no_tiles_are_not_eligible():
    lists = torch.zeros(1, 1, dtype=torch.int64), torch.zeros(1, 1, dtype=torch.int64)
    assert not vertical_slash.eligible(VerticalSlash(*lists, 8))
    assert not vertical_slash.eligible(VerticalSlash(*lists, 48))


@settings(max_examples=25, deadline=None)
@given(
    *(st.data(), st.integers(0, 999), st.integers(1, 3), st.integers(1, 4)),
    *(st.integers(1, 12), st.integers(0, 8), dtypes),
)
def test_pages_of_each_row(data, seed, heads, rows, pages, most, dtype):
    """Some rows have fewer pages than others, or none; the last page is part empty."""
    generator = torch.Generator().manual_seed(seed)
    size, stop = 10, pages * 10 - 3
    q, k, v = build.tensors(seed, heads, heads, rows, pages * size + 20, 24, dtype)
    page = torch.full((heads, rows, most), -1)
    for row in page.reshape(heads * rows, most):  # a view
        chosen = torch.randperm(pages, generator=generator)[: int(torch.randint(most + 1, (1,), generator=generator))]
        places = torch.randperm(most, generator=generator)[: len(chosen)]
        row[places] = chosen[: len(places)]
    mask = torch.zeros(heads, rows, pages * size + 20, dtype=torch.bool)
    for g in range(heads):
        for n in range(rows):
            for p in page[g, n].tolist():
                mask[g, n, max(0, p * size) : (p + 1) * size] = True
    mask[..., stop:] = False
    wanted = reference.attend(q, k[:, :], v, mask, 0.3)
    unread = ~mask.any(1).unsqueeze(-1)
    k, v = k.masked_fill(unread, float("nan")), v.masked_fill(unread, float("nan"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paged_decode, "TILE", 16)
        patch.setattr(splits, "PROGRAMS", data.draw(programs))
        part = paged_decode.attend(q, k, v, page, size, stop, 0.3)
    close(part.out_GND, wanted.out_GND, dtype)
    close(part.lse_GN, wanted.lse_GN, dtype)


@settings(max_examples=25, deadline=None)
@given(st.data(), st.integers(0, 999), st.integers(1, 3), st.integers(1, 5), dtypes)
def test_rounded_keys_and_values(data, seed, heads, rows, dtype):
    dim = data.draw(st.sampled_from([6, 16, 24]))
    group = data.draw(st.sampled_from([4, 32, 40]))
    tokens = group * data.draw(st.integers(0, 6))
    rest = data.draw(st.sampled_from([0, min(1, tokens), tokens]))
    q, k, v = build.tensors(seed, heads, heads, rows, tokens, dim)
    keys = packing.pack_keys(k, data.draw(st.sampled_from([2, 4])), group)
    values = packing.pack_values(v[:, : tokens - rest], data.draw(st.sampled_from([2, 4])), 10)
    v_rest = v[:, tokens - rest :].to(dtype) if rest else None
    wanted = quantised.attend(q.to(dtype), keys, values, v_rest, 0.3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(splits, "PROGRAMS", data.draw(programs))
        part = dequant_decode.attend(q.to(dtype), keys, values, v_rest, 0.3)
    assert part.out_GND.dtype == dtype
    close(part.out_GND, wanted.out_GND, dtype)
    close(part.lse_GN, wanted.lse_GN, dtype)


def test_keys_are_split_over_the_programs_of_a_large_gpu():
    assert splits.count(1, 10_000) == splits.PROGRAMS
    assert splits.count(1, 3) == 3
    assert splits.count(10 * splits.PROGRAMS, 3) == 1


@pytest.mark.parametrize("name", ["quest", "kivi", "minference+snapkv"])
@pytest.mark.parametrize("mode", ["multi_turn", "multi_request"])
def test_the_engine_uses_them(name, mode):
    method, oracle = METHODS[name]
    if name == "minference+snapkv":  # blocks of 4 are no tiles
        lines = {"vertical": 9, "slash": 7, "last": 6, "first": 2, "near": 3, "block": 16}
        method = (MInference(**lines), method[1])
        oracle = naive_methods.Both(naive_methods.MInference(**lines), oracle.actor)
    dialogue, limit = tiny.dialogue(), 5
    plain = tiny.model("llama", "sequential")
    runs = sequential.multi_turn if mode == "multi_turn" else sequential.multi_request
    decoder = engine.decoder(tiny.model("llama", "eager"), storey="triton")
    (turns,) = engine.run(decoder, [engine.job(dialogue, mode, limit, method)], dialogue.stop).values()
    assert [list(turn.answer.tokens) for turn in turns] == runs(plain, dialogue, oracle, limit)
    wanted = {"quest": paged_decode, "kivi": dequant_decode, "minference+snapkv": vertical_slash}
    assert wanted[name].NAME in turns[0].kernels
