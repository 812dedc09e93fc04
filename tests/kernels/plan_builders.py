"""Random plans and tensors, and what a plan's own mask makes of them."""

import torch
from hypothesis import strategies as st

from scbench.kernels import reference
from scbench.kernels.plans import Band, BlockSparse, ByHead, VerticalSlash

SCALE = 0.3


@st.composite
def bands(draw):
    return Band(draw(st.integers(0, 40)), draw(st.integers(1, 100)), draw(st.sampled_from([0, 0, 1, 60])))


@st.composite
def slashes(draw, heads, stop, blocks=(4, 16, 64)):
    """Columns and offsets ascending, some unused, some offsets beyond the beginning."""
    lists = []
    for most in (stop - 1, stop + 80):
        width = draw(st.integers(0, 12))
        rows = [draw(st.lists(st.integers(0, most), max_size=width, unique=True)) for _ in range(heads)]
        lists.append(
            torch.tensor([[-1] * (width - len(row)) + sorted(row) for row in rows]).reshape(heads, width).long()
        )
    return VerticalSlash(*lists, draw(st.sampled_from(blocks)))


@st.composite
def blocks(draw, heads, stop, sizes=(4, 16, 64)):
    """Lists in any order, some places unused, some blocks behind the rows' own."""
    block, width = draw(st.sampled_from(sizes)), draw(st.integers(0, 5))
    rows = -(-stop // block)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 999)))
    block_HQK = torch.rand(heads, rows, rows + 3, generator=generator).argsort(-1)[..., :width]
    return BlockSparse(torch.where(block_HQK < rows, block_HQK, -1), block)


@st.composite
def mixtures(draw, heads, stop):
    """Every head has a plan of one of three kinds."""
    kinds = draw(st.lists(st.sampled_from([bands, slashes, blocks]), min_size=heads, max_size=heads))
    parts = []
    for kind in (bands, slashes, blocks):
        own = tuple(head for head in range(heads) if kinds[head] is kind)
        if own:
            parts.append((own, draw(kind() if kind is bands else kind(len(own), stop))))
    return ByHead(tuple(parts))


def tensors(seed, heads, kv_heads, rows, keys, dim, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(heads, rows, dim), (kv_heads, keys, dim), (kv_heads, keys, dim)]
    return [torch.randn(shape, generator=generator).to(dtype) for shape in shapes]


def expected(q, k, v, plan, start, total):
    """The reference's output under the plan's mask, and the mask for every head."""
    heads, rows, _ = q.shape
    mask = plan.mask(start, start + rows, total, q.device).expand(heads, rows, start + rows)
    group = heads // k.shape[0]
    wide_k, wide_v = k.repeat_interleave(group, 0), v.repeat_interleave(group, 0)
    return reference.attend(q, wide_k, wide_v, mask, SCALE).out_GND, mask


def poisoned(k, v, mask):
    """Keys and values with NaN where no row of a KV head's query heads reads."""
    unread = ~mask.any(1).unflatten(0, (k.shape[0], -1)).any(1)
    return [tensor.masked_fill(unread.unsqueeze(-1), float("nan")) for tensor in (k, v)]
