import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scbench.kernels import codes


@given(st.integers(1, 8), st.lists(st.integers(1, 3), max_size=2), st.integers(1, 40), st.integers(0, 99))
def test_what_was_packed_comes_out_again(bits, shape, length, seed):
    code = torch.randint(0, 2**bits, (*shape, length), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    packed = codes.pack(code, bits)
    assert packed.dtype == torch.uint8 and packed.shape == (*shape, codes.row_bytes(length, bits))
    assert torch.equal(codes.unpack(packed, bits, length), code)


@pytest.mark.parametrize(("length", "bits", "size"), [(8, 3, 3), (128, 3, 48), (9, 3, 6), (12, 4, 8), (64, 1, 8)])
def test_eight_codes_take_as_many_bytes_as_a_code_has_bits(length, bits, size):
    assert codes.row_bytes(length, bits) == size


def test_the_layout_is_that_of_planes():
    code = torch.tensor([[0b101, 0, 0b001, 0, 0, 0, 0, 0b110, 0b010]], dtype=torch.uint8)
    expected = [0b00000101, 0b10000000, 0b10000001, 0b0, 0b1, 0b0]
    assert codes.pack(code, 3).tolist() == [expected]
