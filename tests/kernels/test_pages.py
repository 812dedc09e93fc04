"""Rows that read pages of their own, in every storey, against a mask over all tokens."""

import itertools
import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scbench.kernels import reference
from scbench.kernels.choose import Kernels

CPU = torch.device("cpu")
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")


def tensors(seed, heads, rows, keys, dim):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(heads, n, dim, generator=generator) for n in (rows, keys, keys)]


@st.composite
def pages_of_parts(draw):
    """Queries, stretches of KV that follow one another with a mask of what is read of them, and lists of pages."""
    heads, lists, each = (draw(st.integers(1, 3)) for _ in range(3))
    dim, size = draw(st.sampled_from([4, 8, 32, 40, 64])), draw(st.sampled_from([1, 4, 16]))
    lengths = draw(st.lists(st.integers(1, 40), min_size=1, max_size=3))
    tokens = sum(lengths)
    pages = -(-tokens // size)
    seed = draw(st.integers(0, 999))
    q, k, v = tensors(seed, heads, lists * each, tokens, dim)
    order = torch.rand(heads, lists, pages, generator=torch.Generator().manual_seed(seed)).argsort(-1)
    page_GXK = order[..., : draw(st.integers(1, pages))]
    page_GXK[:, :: draw(st.integers(1, 3)), draw(st.integers(0, 3)) :] = -1
    read = torch.zeros(heads, lists * each, tokens, dtype=torch.bool)
    for head, row, place in itertools.product(range(heads), range(lists * each), range(tokens)):
        read[head, row, place] = place // size in page_GXK[head, row // each].tolist()
    return q, k, v, lengths, page_GXK, size, read


@pytest.mark.parametrize("storey", ["auto", "reference", "torch", pytest.param("cpp", marks=needs_compiler)])
@given(drawn=pages_of_parts())
@settings(max_examples=40, deadline=None)
def test_pages_are_read_as_tokens_are(folder, storey, drawn):
    q, k, v, lengths, page_GXK, size, read = drawn
    wanted = reference.attend(q, k, v, read, 0.3)
    never = ~read.any(1)
    k, v = (part.masked_fill(never.unsqueeze(-1), torch.nan if storey == "cpp" else 0.0) for part in (k, v))
    wide = [torch.nn.functional.pad(part, (0, 0, 3, 5)) for part in (k, v)]  # a head is followed by something else
    parts = list(zip(*(part[:, 3:-5].split(lengths, 1) for part in wide), strict=True))
    kernels = Kernels(CPU, torch.float32, *(("auto", folder) if storey == "cpp" else (storey,)))
    out, lse = kernels.pages(q, parts, page_GXK, size, 0.3)
    assert ("cpp_paged_decode" in kernels.used) == (storey == "cpp")
    torch.testing.assert_close(out, wanted.out_GND, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(lse, wanted.lse_GN, rtol=1e-5, atol=1e-5)


@needs_compiler
def test_long_lists_are_cut_into_tasks_and_put_together(folder):
    q, k, v = tensors(5, 2, 6, 4000, 64)
    page_GXK = torch.rand(2, 2, 250, generator=torch.Generator().manual_seed(5)).argsort(-1)[..., :150]
    read = torch.zeros(2, 6, 4000, dtype=torch.bool)
    for head, row in itertools.product(range(2), range(6)):
        for page in page_GXK[head, row // 3].tolist():
            read[head, row, page * 16 : page * 16 + 16] = True
    wanted = reference.attend(q, k, v, read, 0.3)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(Kernels(CPU, torch.float32, "auto", folder).pages(q, [(k, v)], page_GXK, 16, 0.3))
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(found[0].out_GND, wanted.out_GND, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found[0].lse_GN, wanted.lse_GN, rtol=1e-5, atol=1e-5)
    assert torch.equal(found[0].out_GND, found[1].out_GND) and torch.equal(found[0].lse_GN, found[1].lse_GN)


@pytest.mark.parametrize("softcap", [None, 3.0])
def test_a_cap_and_other_numbers_leave_the_pages_to_torch(folder, softcap):
    q, k, v = tensors(5, 1, 2, 12, 8)
    page_GXK = torch.tensor([[[2, 0]]])
    read = torch.tensor([True] * 4 + [False] * 4 + [True] * 4).expand(1, 2, -1)
    dtype = torch.float32 if softcap else torch.bfloat16
    q, k, v = (part.to(dtype) for part in (q, k, v))
    kernels = Kernels(CPU, dtype, "auto", folder).under(softcap)
    out, lse = kernels.pages(q, [(k, v)], page_GXK, 4, 0.3)
    assert "cpp_paged_decode" not in kernels.used
    wanted = reference.attend(q.float(), k.float(), v.float(), read, 0.3, softcap)
    tolerance = 1e-5 if softcap else 2e-2
    torch.testing.assert_close(out.float(), wanted.out_GND, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(lse, wanted.lse_GN, rtol=tolerance, atol=tolerance)


@given(st.integers(0, 999), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(0, 3))
@settings(max_examples=20, deadline=None)
def test_many_long_lists_of_pages_are_a_mask(seed, heads, each, size, loose):
    lists, pages, most = 80, 7, 5
    q, k, v = tensors(seed, heads, lists * each, pages * size + loose, 8)
    generator = torch.Generator().manual_seed(seed)
    page_GXK = torch.rand(heads, lists, pages, generator=generator).argsort(-1)[..., :most]
    page_GXK[:, ::7, 2:] = -1
    read = torch.zeros(heads, lists * each, pages * size + loose, dtype=torch.bool)
    for head, row, place in itertools.product(range(heads), range(lists * each), range(pages * size)):
        read[head, row, place] = place // size in page_GXK[head, row // each].tolist()
    kernels = Kernels(CPU, torch.float32, "torch")
    out, lse = kernels.pages(q, [(k, v)], page_GXK, size, 0.3)
    assert kernels.used == {"paged_mask", "aten_flash_cpu_masked"}
    wanted = reference.attend(q, k, v, read, 0.3)
    torch.testing.assert_close(out, wanted.out_GND)
    torch.testing.assert_close(lse, wanted.lse_GN)
