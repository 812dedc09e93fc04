"""RetrievalAttention's options: its budget, when it is idle, and what is refused."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scbench.errors import ScbenchError
from scbench.kernels.spec import Visible
from scbench.methods.base import Base, Layer
from scbench.methods.loading.retrieval_attention import RetrievalAttention
from scbench.segments.dense import DenseSegment


@given(st.integers(1, 10_000), st.booleans())
def test_a_budget_is_what_is_read_in_the_defaults_proportion(tokens, few):
    method = RetrievalAttention(k=100) if few else RetrievalAttention()
    whole = method.sinks + method.window + method.k
    made = method.with_tokens(tokens)
    assert made.sinks + made.window + made.k == tokens
    assert made.k >= 1 and made.sinks == tokens * 128 // whole and made.window == tokens * 512 // whole


@pytest.mark.parametrize("tokens", [22, 23, 24])
def test_idle_is_to_read_everything(tokens):
    method = RetrievalAttention(k=10, sinks=4, window=9, group="each")
    k_GLD = torch.randn(2, tokens, 8)
    segment = method.load(DenseSegment(0, k_GLD, k_GLD), Layer(0, 1, 2), Base(tokens))
    visible = Visible.of(torch.zeros(2, dtype=torch.long), torch.full((2,), tokens), 2, 1)
    read_GN = segment.reads(torch.randn(2, 2, 8), visible).sum(-1)
    assert bool((read_GN == min(tokens, 23)).all())
    assert method.idle(Base(tokens)) == (tokens <= 23)
    assert segment.footprint(tokens).touched == 2 * 2 * tokens * 8 * 4 + (2 * 11 * 8 * 4 if tokens > 23 else 0)


def test_nothing_is_lost_without_a_limit():
    assert RetrievalAttention(index="ivf").lossless().idle(Base(2**30))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"k": 0}, "k=0"),
        ({"window": -1}, "window=-1"),
        ({"scan": -1}, "scan=-1"),
        ({"group": "max"}, "group=max: expected one of mean, each"),
        ({"index": "flat"}, "index=flat: expected one of exact, ivf, hnsw"),
        ({"nlist": 0.0}, "nlist=0.0: expected a share"),
        ({"nprobe": 1.5}, "nprobe=1.5: expected a share"),
        ({"m": 1}, "m=1"),
        ({"ef_search": 0}, "ef_search=0"),
    ],
)
def test_options_without_meaning_are_refused_in_a_line(options, words):
    with pytest.raises(ScbenchError, match=words) as caught:
        RetrievalAttention(**options)
    assert "\n" not in str(caught.value) and str(caught.value).startswith("retrieval_attention: ")
