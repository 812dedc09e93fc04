"""Every method in the engine equals the naive sequential loop, token for token, at every kind of point."""

import pytest

from oracles import engine, naive_methods, sequential, tiny
from scbench.engine.adapter import Adapter
from scbench.engine.answer import Decoder
from scbench.kernels.choose import Kernels
from scbench.kernels.cpp import dequant_decode
from scbench.methods.compression.kivi import Kivi
from scbench.methods.compression.snapkv import SnapKV
from scbench.methods.compression.streaming_llm import StreamingLLM
from scbench.methods.generation.a_shape import AShape
from scbench.methods.generation.minference import MInference
from scbench.methods.loading.quest import Quest

LIMIT = 8
PROTECTED = frozenset(range(4))
MINFERENCE = {"vertical": 9, "slash": 7, "last": 6, "first": 2, "near": 3, "block": 4}

METHODS = {
    "streaming_llm": (StreamingLLM(5, 24), naive_methods.Streaming(5, 24)),
    "snapkv": (SnapKV(30, 7, 5), naive_methods.SnapKV(30, 7, 5, "mean", PROTECTED)),
    "snapkv_max": (SnapKV(26, 4, 3, "max"), naive_methods.SnapKV(26, 4, 3, "max", PROTECTED)),
    "snapkv_each": (SnapKV(25, 5, 5, "each"), naive_methods.SnapKV(25, 5, 5, "each", PROTECTED)),
    "kivi": (Kivi(2, 8, 8), naive_methods.Kivi(2, 8, 8)),
    "kivi4": (Kivi(4, 16, 3), naive_methods.Kivi(4, 16, 3)),
    "quest": (Quest(24, 4, 0), naive_methods.Quest(24, 4, 0)),
    "quest_each": (Quest(20, 5, 1, "each"), naive_methods.Quest(20, 5, 1, "each")),
    "a_shape": (AShape(5, 17), naive_methods.AShape(5, 17)),
    "minference": (MInference(**MINFERENCE), naive_methods.MInference(**MINFERENCE)),
    "minference+snapkv": (
        (MInference(**MINFERENCE), SnapKV(30, 7, 5)),
        naive_methods.Both(naive_methods.MInference(**MINFERENCE), naive_methods.SnapKV(30, 7, 5, "mean", PROTECTED)),
    ),
    "a_shape+quest": (
        (AShape(5, 17), Quest(24, 4, 0)),
        naive_methods.Both(naive_methods.AShape(5, 17), naive_methods.Quest(24, 4, 0)),
    ),
}
EVERY = pytest.mark.parametrize("name", sorted(METHODS))
OTHERS = [pytest.param(name, marks=pytest.mark.slow) for name in ("qwen2", "qwen3", "gemma3", "glm4", "mistral")]
MODELS = ["llama", *OTHERS]


def both(model, name, mode, history="gold", query="auto", compress="once", dialogue=None):
    """(what the engine answers, what the naive loop answers)"""
    method, oracle = METHODS[name]
    dialogue = dialogue or tiny.dialogue()
    plain = tiny.model(model, "sequential")
    if mode == "multi_request":
        expected = sequential.multi_request(plain, dialogue, oracle, LIMIT, "free" if query == "auto" else query)
    else:
        query = "aware" if query == "auto" else query
        expected = sequential.multi_turn(plain, dialogue, oracle, LIMIT, history, query, compress)
    decoder = engine.decoder(tiny.model(model, "eager"))
    answers = engine.answers(decoder, dialogue, mode, LIMIT, method, None, history, query=query, compress=compress)
    return answers, expected


@EVERY
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("mode", ["multi_turn", "multi_request"])
def test_equals_the_naive_loop(model, name, mode):
    answers, expected = both(model, name, mode)
    assert answers == expected


@pytest.mark.parametrize("name", ["kivi", "kivi4"])
def test_the_compiled_kernel_equals_the_naive_loop(name, tmp_path):
    method, oracle = METHODS[name]
    model, dialogue = tiny.model("llama", "eager"), tiny.dialogue()
    kernels = Kernels(model.device, model.dtype, "auto", tmp_path)
    expected = sequential.multi_turn(tiny.model("llama", "sequential"), dialogue, oracle, LIMIT)
    decoder = Decoder(Adapter(model), kernels, 16)
    assert engine.answers(decoder, dialogue, "multi_turn", LIMIT, method) == expected
    if not dequant_decode.available(tmp_path):
        pytest.skip("no compiler here: the torch kernel was used")
    assert dequant_decode.NAME in kernels.used


@EVERY
def test_equals_the_naive_loop_with_generated_history(name):
    answers, expected = both("llama", name, "multi_turn", "generated")
    assert answers == expected


@pytest.mark.parametrize("name", ["streaming_llm", "snapkv", "snapkv_each", "kivi", "minference+snapkv"])
@pytest.mark.parametrize(
    ("mode", "query"),
    [("multi_turn", "free"), ("multi_turn", "each"), ("multi_request", "aware"), ("multi_request", "each")],
)
def test_what_the_cache_has_seen_is_independent_of_the_mode(name, mode, query):
    answers, expected = both("llama", name, mode, query=query)
    assert answers == expected


@pytest.mark.parametrize("name", ["streaming_llm", "snapkv", "snapkv_max"])
@pytest.mark.parametrize("compress", ["each", "isolated"])
@pytest.mark.parametrize("history", ["gold", "generated"])
def test_compressing_again_equals_the_naive_loop(name, compress, history):
    dialogue = tiny.dialogue(stretch=5)
    answers, expected = both("llama", name, "multi_turn", history, compress=compress, dialogue=dialogue)
    assert answers == expected
    assert answers != both("llama", name, "multi_turn", history, dialogue=dialogue)[0]


@EVERY
def test_the_method_changes_the_answers(name):
    """Without this the comparisons could not fail: a hook as identity would pass them."""
    decoder, dialogue = engine.decoder(tiny.model("llama", "eager")), tiny.dialogue()
    dense = engine.answers(decoder, dialogue, "multi_turn", LIMIT)
    assert engine.answers(decoder, dialogue, "multi_turn", LIMIT, METHODS[name][0]) != dense
