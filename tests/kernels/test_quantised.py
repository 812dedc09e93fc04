"""Attention over rounded keys and values, in torch and in C++, against unrounding and the reference."""

import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scbench.errors import ScbenchError
from scbench.kernels import packing, quantised, reference
from scbench.kernels.choose import FEW_CPP, Kernels
from scbench.kernels.cpp import build, dequant_decode
from scbench.kernels.packing import PackedKeys, PackedValues

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")


@pytest.fixture(scope="session", params=["torch", pytest.param("cpp", marks=needs_compiler)])
def attend(request, folder):
    if request.param == "torch":
        return quantised.attend
    assert dequant_decode.available(folder)
    return lambda *arguments: dequant_decode.attend(*arguments, folder)


@st.composite
def cases(draw):
    """Sizes of everything; some values may be unrounded, as KIVI's newest are."""
    group = draw(st.sampled_from([4, 8, 32, 40, 64]))
    tokens = group * draw(st.integers(1, 30))
    return {
        "seed": draw(st.integers(0, 999)),
        "heads": draw(st.integers(1, 3)),
        "rows": draw(st.integers(1, 8)),
        "dim": draw(st.sampled_from([4, 6, 24, 32, 64, 80])),
        "tokens": tokens,
        "rest": draw(st.sampled_from([0, 0, 1, min(tokens, 33), tokens])),
        "keys": (draw(st.sampled_from([2, 4])), group),
        "values": (draw(st.sampled_from([2, 4])), draw(st.sampled_from([8, 10, 32]))),
        "dtype": draw(st.sampled_from(list(TOLERANCE))),
    }


def tensors(seed, heads, rows, dim, tokens, rest, keys, values, dtype):
    generator = torch.Generator().manual_seed(seed)
    q, k, v = (torch.randn(heads, n, dim, generator=generator) for n in (rows, tokens, tokens))
    v_rest = v[:, tokens - rest :].to(dtype) if rest else None
    return q.to(dtype), packing.pack_keys(k, *keys), packing.pack_values(v[:, : tokens - rest], *values), v_rest


def plain(q, keys, values, v_rest):
    v = packing.unpack_values(values, torch.float32)
    v = v if v_rest is None else torch.cat([v, v_rest.float()], 1)
    return reference.attend(q.float(), packing.unpack_keys(keys, torch.float32), v, None, 0.2)


@settings(max_examples=80, deadline=None)
@given(cases())
def test_rounded_keys_and_values_are_attended_to(attend, case):
    q, keys, values, v_rest = tensors(**case)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantised, "ELEMENTS", 2000)
        part = attend(q, keys, values, v_rest, 0.2)
    wanted = plain(q, keys, values, v_rest)
    tolerance = TOLERANCE[case["dtype"]]
    assert part.out_GND.dtype == case["dtype"]
    torch.testing.assert_close(part.out_GND.float(), wanted.out_GND, atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(part.lse_GN, wanted.lse_GN, atol=1e-5, rtol=1e-5)


@needs_compiler
def test_keys_may_be_rounded_and_no_values(folder):
    q, keys, _, v = tensors(3, 2, 5, 40, 96, 96, (2, 32), (2, 32), torch.float32)
    kernels = Kernels(torch.device("cpu"), torch.float32, "auto", folder)
    part = kernels.quantised(q, keys, None, v, 0.2)
    assert kernels.used == {"cpp_dequant_decode"}
    wanted = reference.attend(q, packing.unpack_keys(keys, torch.float32), v, None, 0.2)
    torch.testing.assert_close(part.out_GND, wanted.out_GND, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(part.lse_GN, wanted.lse_GN, atol=1e-5, rtol=1e-5)


@needs_compiler
@pytest.mark.parametrize(("rows", "kernel"), [(FEW_CPP, "cpp_dequant_decode"), (FEW_CPP + 1, "quantised")])
def test_many_rows_are_made_of_floats_beyond_what_was_measured(folder, rows, kernel):
    q, keys, values, v_rest = tensors(5, 1, rows, 32, 96, 17, (2, 32), (2, 32), torch.float32)
    kernels = Kernels(torch.device("cpu"), torch.float32, "auto", folder)
    part, wanted = kernels.quantised(q, keys, values, v_rest, 0.2), plain(q, keys, values, v_rest)
    assert kernel in kernels.used
    torch.testing.assert_close(part.out_GND, wanted.out_GND, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(part.lse_GN, wanted.lse_GN, atol=1e-5, rtol=1e-5)


def test_many_tokens_and_sharp_scores(attend):
    """More than one task of the C++ kernel, and scores whose exponentials would overflow."""
    q, keys, values, v_rest = tensors(1, 2, 4, 64, 32 * 200, 17, (2, 32), (4, 32), torch.float32)
    part, wanted = attend(q * 500, keys, values, v_rest, 0.2), plain(q * 500, keys, values, v_rest)
    torch.testing.assert_close(part.out_GND, wanted.out_GND, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(part.lse_GN, wanted.lse_GN, atol=1e-3, rtol=1e-6)


def test_no_tokens_give_nothing(attend):
    q, keys, values, _ = tensors(1, 2, 3, 16, 0, 0, (2, 32), (2, 32), torch.float32)
    part = attend(q, keys, values, None, 0.2)
    assert (part.out_GND == 0).all() and (part.lse_GN == -torch.inf).all()


def test_the_beginning_of_a_longer_buffer_is_read_and_no_more(attend):
    q, keys, values, _ = tensors(1, 2, 3, 16, 96, 0, (2, 32), (2, 16), torch.float32)
    wanted = attend(q, keys, values, None, 0.2)

    def begin(tensor):
        wide = torch.full((2, 2 * tensor.shape[1], tensor.shape[2]), 255 if tensor.dtype == torch.uint8 else torch.nan)
        wide[:, : tensor.shape[1]] = tensor
        return wide.to(tensor.dtype)[:, : tensor.shape[1]]

    keys = PackedKeys(begin(keys.code_GnD), begin(keys.scale_GmD), begin(keys.low_GmD), 2, 32)
    values = PackedValues(begin(values.code_Gnd), begin(values.scale_Gnm), begin(values.low_Gnm), 2, 16, 16)
    part = attend(q, keys, values, None, 0.2)
    torch.testing.assert_close(part.out_GND, wanted.out_GND)
    torch.testing.assert_close(part.lse_GN, wanted.lse_GN)


def test_the_whole_is_never_made_float_at_once(monkeypatch):
    made = []
    unpack = quantised.unpack_keys
    monkeypatch.setattr(quantised, "unpack_keys", lambda keys, dtype: made.append(keys.tokens) or unpack(keys, dtype))
    q, keys, values, v_rest = tensors(1, 2, 3, 64, 32 * 300, 5, (2, 32), (2, 32), torch.float32)
    quantised.attend(q, keys, values, v_rest, 0.2)
    assert sum(made) == 9600 and max(made) * 2 * 64 <= quantised.ELEMENTS


@needs_compiler
def test_results_do_not_depend_on_the_threads(folder):
    case = tensors(1, 2, 3, 64, 32 * 200, 0, (2, 32), (2, 32), torch.float32)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = dequant_decode.attend(*case, 0.2, folder)
        torch.set_num_threads(2)
        two = dequant_decode.attend(*case, 0.2, folder)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(one.out_GND, two.out_GND) and torch.equal(one.lse_GN, two.lse_GN)


@needs_compiler
def test_a_library_is_built_once_and_whole(folder):
    assert dequant_decode.available(folder)
    before = sorted(folder.iterdir())
    build.library.cache_clear()
    assert dequant_decode.available(folder)
    assert sorted(folder.iterdir()) == before and len(before) == 1


@pytest.mark.parametrize("compiler", ["no-such-compiler", "false"])
def test_without_a_working_compiler_it_says_so(monkeypatch, tmp_path, compiler):
    monkeypatch.setenv("CXX", compiler)
    assert not dequant_decode.available(tmp_path)
    q, keys, values, _ = tensors(1, 2, 3, 16, 32, 0, (2, 32), (2, 32), torch.float32)
    with pytest.raises(ScbenchError, match="cpp_dequant_decode cannot be built here"):
        dequant_decode.attend(q, keys, values, None, 0.2, tmp_path)


def test_what_it_cannot_read_is_not_eligible():
    q, keys, values, _ = tensors(1, 2, 3, 16, 32, 0, (2, 32), (2, 32), torch.float32)
    assert dequant_decode.eligible(q, keys, values)
    assert not dequant_decode.eligible(q.to("meta"), keys, values)
    assert not dequant_decode.eligible(q, PackedKeys(keys.code_GnD, keys.scale_GmD, keys.low_GmD, 8, 32), values)
