"""Every method in the engine equals the naive sequential loop, token for token, at every kind of point."""

import pytest

from oracles import engine, sequential, tiny
from oracles.method_pairs import METHODS
from scbench.engine.adapter import Adapter
from scbench.engine.answer import Decoder
from scbench.kernels.choose import Kernels
from scbench.kernels.cpp import dequant_decode

LIMIT = 8
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
    (turns,) = engine.run(decoder, [engine.job(dialogue, "multi_turn", LIMIT, method)], dialogue.stop).values()
    assert [list(turn.answer.tokens) for turn in turns] == expected
    if not dequant_decode.available(tmp_path):
        pytest.skip("no compiler here: the torch kernel was used")
    assert dequant_decode.NAME in turns[0].kernels


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


@pytest.mark.parametrize("model", ["llama", "gemma3"])
@pytest.mark.parametrize("name", ["a_shape", "tri_shape", "minference"])
def test_a_plan_that_knows_the_first_request_equals_the_naive_loop(name, model):
    method, oracle = METHODS[name]
    dialogue, plain = tiny.dialogue(), tiny.model(model, "sequential")
    expected = sequential.multi_request(plain, dialogue, oracle, LIMIT, "first")
    decoder = engine.decoder(tiny.model(model, "eager"))
    answers = engine.answers(decoder, dialogue, "multi_request", LIMIT, method, query="aware")
    assert answers == expected
    if model == "llama":
        assert answers != engine.answers(decoder, dialogue, "multi_request", LIMIT, method)
        turns = engine.answers(decoder, dialogue, "multi_turn", LIMIT, method)
        assert answers[0] == turns[0], "its first prompt is that of the other mode"


@pytest.mark.parametrize("name", ["streaming_llm", "snapkv", "snapkv_max"])
@pytest.mark.parametrize("compress", ["each", "isolated"])
@pytest.mark.parametrize("history", ["gold", pytest.param("generated", marks=pytest.mark.slow)])
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
