import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scbench.errors import ScbenchError
from scbench.kernels import codes
from scbench.kernels.cpp import build
from scbench.kernels.cpp import levels as cpp_levels

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")


@given(st.integers(1, 8), st.lists(st.integers(1, 3), max_size=2), st.integers(1, 40), st.integers(0, 99))
def test_what_was_packed_comes_out_again(bits, shape, length, seed):
    code = torch.randint(0, 2**bits, (*shape, length), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    packed = codes.pack(code, bits)
    assert packed.dtype == torch.uint8 and packed.shape == (*shape, -(-length // 8) * bits)
    assert torch.equal(codes.unpack(packed, bits, length), code)


@pytest.mark.parametrize(("length", "bits", "size"), [(8, 3, 3), (128, 3, 48), (9, 3, 6), (12, 4, 8), (64, 1, 8)])
def test_eight_codes_take_as_many_bytes_as_a_code_has_bits(length, bits, size):
    assert codes.pack(torch.zeros(1, length, dtype=torch.uint8), bits).shape[-1] == size


def test_the_layout_is_that_of_planes():
    code = torch.tensor([[0b101, 0, 0b001, 0, 0, 0, 0, 0b110, 0b010]], dtype=torch.uint8)
    expected = [0b00000101, 0b10000000, 0b10000001, 0b0, 0b1, 0b0]
    assert codes.pack(code, 3).tolist() == [expected]


@needs_compiler
@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 40), st.integers(1, 70), st.integers(0, 9))
@settings(deadline=None)
def test_levels_are_looked_up_code_by_code(folder, bits, heads, tokens, dim, begin):
    """In torch and in C++, of the whole and of a part that is a view."""
    seed = tokens + dim
    generator = torch.Generator().manual_seed(seed)
    code = torch.randint(0, 2**bits, (heads, tokens + begin, dim), generator=generator, dtype=torch.uint8)
    level = torch.randn(2**bits, generator=generator)
    wanted = level[code.long()][:, begin:]
    packed = codes.pack(code, bits)[:, begin:]
    assert torch.equal(codes.levels(packed, bits, level, dim), wanted)
    assert torch.equal(cpp_levels.levels(packed, bits, level, dim, folder), wanted)


def test_without_a_compiler_levels_say_so(monkeypatch, tmp_path):
    monkeypatch.setattr(build, "library", lambda folder: None)
    with pytest.raises(ScbenchError, match="cpp_levels cannot be built here"):
        cpp_levels.levels(torch.zeros(1, 2, 2, dtype=torch.uint8), 2, torch.zeros(4), 8, tmp_path)


def test_rows_too_short_for_their_codes_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "library", lambda folder: object())
    with pytest.raises(ValueError, match="2 bytes and 4 levels are no 9 codes of 2 bits"):
        cpp_levels.levels(torch.zeros(1, 2, 2, dtype=torch.uint8), 2, torch.zeros(4), 9, tmp_path)
