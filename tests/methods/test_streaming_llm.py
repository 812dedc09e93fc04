"""StreamingLLM against the rule in plain Python, and its budget."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scbench.errors import ScbenchError
from scbench.methods.base import Base, Layer
from scbench.methods.compression.streaming_llm import StreamingLLM
from scbench.segments.dense import DenseSegment

HEADS, DIM = 2, 4


def kept_positions(method, tokens, protected=()):
    k = torch.arange(tokens, dtype=torch.float32)[None, :, None].expand(HEADS, -1, DIM)
    segment = method.compress(DenseSegment(0, k, -k), None, Layer(0, 1), Base(tokens, protected))
    assert (segment.start, segment.stop) == (0, tokens)
    assert torch.equal(segment.k_GLD[..., 0].long(), segment.position_GL)
    assert torch.equal(segment.v_GLD, -segment.k_GLD)
    heads = segment.position_GL.tolist()
    assert heads[0] == heads[1] == sorted(set(heads[0]))
    return heads[0]


@given(st.integers(0, 8), st.integers(1, 30), st.integers(40, 90))
def test_keeps_sinks_and_window(sinks, window, tokens):
    expected = [p for p in range(tokens) if p < sinks or p >= tokens - window]
    assert kept_positions(StreamingLLM(sinks, window), tokens) == expected


@given(st.integers(0, 8), st.integers(20, 30), st.lists(st.tuples(st.integers(0, 60), st.integers(0, 4)), max_size=3))
def test_protected_tokens_stay_and_count(sinks, window, spans):
    protected = tuple((start, start + length) for start, length in spans)
    kept = kept_positions(StreamingLLM(sinks, window), 60, protected)
    must = {p for start, stop in protected for p in range(start, min(stop, 60))} | set(range(sinks))
    assert must <= set(kept)
    assert len(kept) <= sinks + window
    recent = [p for p in kept if p not in must]
    if recent:  # the window is whole: nothing between its first token and the end is missing
        assert set(range(recent[0], 60)) <= set(kept)
        # and as long as the budget allows
        earlier = next(p for p in range(recent[0] - 1, -2, -1) if p not in must)
        assert earlier < 0 or len(kept) == sinks + window


@given(st.integers(1, 5000))
def test_a_budget_keeps_the_proportion(tokens):
    method = StreamingLLM(sinks=128, window=3968).with_tokens(tokens)
    assert method.sinks + method.window == tokens
    assert method.window >= 1
    assert method.sinks == tokens // 32 or tokens == 1


def test_idle_exactly_when_the_budget_covers_the_base():
    method = StreamingLLM(4, 16)
    assert method.idle(Base(20))
    assert not method.idle(Base(21))
    assert method.lossless().idle(Base(10**9))


@pytest.mark.parametrize("options", [{"sinks": -1}, {"window": 0}])
def test_values_out_of_their_domain_are_refused(options):
    with pytest.raises(ScbenchError, match="sinks must be >= 0 and window >= 1"):
        StreamingLLM(**options)
