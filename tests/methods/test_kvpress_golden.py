"""Compression methods against what kvpress 0.5.5 scored and kept: tests/data/make_kvpress_golden.py.

Where the two mean different things on purpose (docs/differences_kvpress.md), the test says by how much.
"""

import gzip
import json
from functools import cache
from pathlib import Path

import pytest
import torch

from scbench.methods.base import Base, Layer, Queries
from scbench.methods.compression.pyramidkv import PyramidKV
from scbench.methods.compression.snapkv import SnapKV
from scbench.methods.compression.streaming_llm import StreamingLLM
from scbench.segments.dense import DenseSegment

GOLDEN = Path(__file__).parents[1] / "data" / "kvpress_golden.json.gz"


@cache
def golden():
    return json.loads(gzip.decompress(GOLDEN.read_bytes()))


def cases(press):
    """Ids that name what a case is."""
    found = [case for case in golden()["cases"] if case["press"] == press]
    assert found
    return [pytest.param(c, id=f"{c['input']} {' '.join(map(str, c['options'].values()))}") for c in found]


def tensors(case):
    """Per layer the dense cache and the queries of the case's window, all of them if it has none."""
    read = golden()["inputs"][case["input"]]
    for layer in read["layers"]:
        k_GLD, q_HWD = torch.tensor(layer["k_GLD"]), torch.tensor(layer["q_HWD"])
        rows = case["options"].get("window_size", q_HWD.shape[1])
        yield DenseSegment(0, k_GLD, -k_GLD), Queries(q_HWD[:, -rows:], k_GLD.shape[1], read["scale"])


def kept(method, case):
    """Per layer and KV head the positions that the method keeps."""
    layers = list(tensors(case))
    return [
        method.compress(dense, queries, Layer(number, len(layers)), Base(dense.stop)).position_GL.tolist()
        for number, (dense, queries) in enumerate(layers)
    ]


def length(case):
    return next(tensors(case))[0].stop


def highest(scores, count, without=frozenset()):
    """The positions of the highest scores among those that are not left out."""
    places = [place for place in range(len(scores)) if place not in without]
    return sorted(sorted(places, key=lambda place: -scores[place])[:count])


@pytest.mark.parametrize("case", cases("StreamingLLMPress"))
def test_streaming_llm_keeps_the_same_tokens(case):
    sinks = case["options"]["n_sink"]
    tokens = int(length(case) * (1 - case["options"]["compression_ratio"]))
    if tokens > sinks:
        assert kept(StreamingLLM(sinks, tokens - sinks), case) == case["kept"]
    else:  # theirs then keeps some of the sinks and nothing recent; ours always something recent
        assert all(max(head) < sinks for layer in case["kept"] for head in layer)
        ours = kept(StreamingLLM(sinks, 1).with_tokens(tokens), case)
        assert all(len(head) == tokens and head[-1] == length(case) - 1 for layer in ours for head in layer)


@pytest.mark.parametrize("case", cases("SnapKVPress"))
def test_snapkv_scores_are_theirs_times_the_rows_of_the_window(case):
    window, start = case["options"]["window_size"], length(case) - case["options"]["window_size"]
    method = SnapKV(2**40, window, case["options"]["kernel_size"])
    for (dense, queries), theirs in zip(tensors(case), case["scores"], strict=True):
        ours_GL = method._scores(dense, queries, Base(dense.stop)).mean(dim=1) / window
        torch.testing.assert_close(ours_GL[:, :start], torch.tensor(theirs)[:, :start], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("case", cases("SnapKVPress"))
def test_snapkv_keeps_the_same_tokens(case):
    tokens = int(length(case) * (1 - case["options"]["compression_ratio"]))
    method = SnapKV(tokens, case["options"]["window_size"], case["options"]["kernel_size"])
    assert kept(method, case) == case["kept"]


def pyramid(case):
    """Their method with our numbers: they count the window inside a layer's budget, we beside it."""
    options, tokens = case["options"], length(case)
    share = round(tokens * (1 - options["compression_ratio"]))
    return PyramidKV(
        share + options["window_size"], options["window_size"], options["kernel_size"], beta=options["beta"]
    )


@pytest.mark.parametrize(
    ("number", "theirs", "ours"),  # ours without the window; both 18, 30, 15 and 36 of 60 tokens on average
    [
        pytest.param(0, [30, 22, 14, 6], [30, 22, 14, 6], id="whole numbers"),
        pytest.param(1, [52, 37, 23, 8], [52, 38, 24, 10], id="theirs rounds each layer, ours the step"),
        pytest.param(2, [15] * 4, [30, 20, 10, 0], id="theirs has no layer below the window"),
        pytest.param(3, [52, 41, 31, 20], [36] * 4, id="ours compresses a short base as SnapKV"),
    ],
)
def test_pyramidkv_layers_have_the_same_budgets_beside_the_window(number, theirs, ours):
    case = cases("PyramidKVPress")[number].values[0]
    method, tokens = pyramid(case), length(case)
    assert [len(layer[0]) for layer in case["kept"]] == theirs
    assert [method.layer_tokens(Layer(n, 4), tokens, method.window) - method.window for n in range(4)] == ours
    assert [len(layer[0]) - method.window for layer in kept(method, case)] == ours
    assert abs(sum(theirs) / 4 - sum(ours) / 4) <= 1


@pytest.mark.parametrize("case", cases("PyramidKVPress"))
def test_pyramidkv_keeps_the_tokens_that_they_score_highest(case):
    for mine, theirs, scores in zip(kept(pyramid(case), case), case["kept"], case["scores"], strict=True):
        for own, other, score in zip(mine, theirs, scores, strict=True):
            assert own == highest(score, len(own))
            assert set(own) >= set(other) or len(own) < len(other)
