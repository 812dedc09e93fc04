"""What a token reads of pages."""

import pytest
import torch

from scbench.segments.dense import DenseSegment
from scbench.segments.paged import PagedSegment, Paging

HEADS, TOKENS, DIM = 2, 100, 8
TOKEN = 2 * HEADS * DIM * 4


@pytest.mark.parametrize(
    ("pages", "together", "read"),
    [(3, True, 12), (3, False, 36), (10, False, 100)],  # of a group of three, each may choose other pages
)
def test_footprints_count_the_pages_of_every_query_head(pages, together, read):
    k_GLD = torch.randn(HEADS, TOKENS, DIM)
    footprint = PagedSegment.of(DenseSegment(0, k_GLD, k_GLD), Paging(4, pages, together, 3)).footprint(TOKENS)
    bounds = TOKENS // 4 * TOKEN
    assert (footprint.tokens, footprint.stored, footprint.touched) == (100, 100 * TOKEN + bounds, read * TOKEN + bounds)


def test_pages_of_one_token_are_read_as_keys_and_then_their_values():
    k_GLD = torch.randn(HEADS, TOKENS, DIM)
    footprint = PagedSegment.of(DenseSegment(0, k_GLD, k_GLD), Paging(1, 7, False, 3)).footprint(TOKENS)
    assert (footprint.stored, footprint.touched) == (100 * TOKEN, (100 + 21) * TOKEN // 2)


@pytest.mark.parametrize("page", [1, 4])
def test_later_points_share_the_bounds_of_whole_pages(page):
    """No key and no bound is copied for a branch or a point, but those of the page that the point cuts."""
    k_GLD = torch.randn(HEADS, TOKENS + 9, DIM)
    dense = DenseSegment(0, k_GLD[:, : TOKENS + 1], k_GLD[:, : TOKENS + 1])
    first = PagedSegment.of(dense, Paging(page, 3, True, 3))
    fresh = DenseSegment(TOKENS + 1, k_GLD[:, TOKENS + 1 :], k_GLD[:, TOKENS + 1 :])
    second, whole = first.absorb(fresh), PagedSegment.of(DenseSegment(0, k_GLD, k_GLD), Paging(page, 3, True, 3))
    assert second.bounds[0].data_ptr() == first.bounds[0].data_ptr()
    if page == 1:
        assert first.bounds[0].data_ptr() == k_GLD.data_ptr() and len(second.bounds) == 2
    assert torch.equal(torch.cat(second.bounds, dim=-1), whole.bounds[0])
    assert second.footprint(TOKENS + 9) == whole.footprint(TOKENS + 9)
    q_GXgD = torch.randn(HEADS, 5, 3, DIM)
    assert torch.equal(second.choose(q_GXgD).sort().values, whole.choose(q_GXgD).sort().values)
