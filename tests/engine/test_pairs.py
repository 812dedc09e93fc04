"""Methods of different stages as one: each pair equals the naive loop with both naive methods."""

import pytest

from oracles import engine, naive_methods, naive_retrieval, sequential, tiny
from oracles.method_pairs import METHODS, MINFERENCE
from scbench.methods.compression.kivi import Kivi
from scbench.methods.compression.pyramidkv import PyramidKV
from scbench.methods.compression.snapkv import SnapKV
from scbench.methods.compression.streaming_llm import StreamingLLM
from scbench.methods.compression.turboquant import TurboQuant
from scbench.methods.generation.a_shape import AShape
from scbench.methods.generation.minference import MInference
from scbench.methods.generation.tri_shape import TriShape
from scbench.methods.loading.quest import Quest
from scbench.methods.loading.retrieval_attention import RetrievalAttention

LIMIT = 6
PLANS = {
    "a_shape": (AShape(5, 17), naive_methods.AShape(5, 17)),
    "tri_shape": (TriShape(5, 17, 9), naive_methods.TriShape(5, 17, 9)),
    "minference": (MInference(**MINFERENCE), naive_methods.MInference(**MINFERENCE)),
}
ACTS = {
    "streaming_llm": (StreamingLLM(5, 24), METHODS["streaming_llm"][1]),
    "snapkv": (SnapKV(30, 7, 5), METHODS["snapkv"][1]),
    "pyramidkv": (PyramidKV(26, 7, 5, beta=9), METHODS["pyramidkv"][1]),
    "kivi": (Kivi(2, 8, 8), METHODS["kivi"][1]),
    "turboquant": (TurboQuant(2), METHODS["turboquant"][1]),
    "quest": (Quest(24, 4, 0), METHODS["quest"][1]),
    "retrieval_attention": (RetrievalAttention(11, 3, 6, "each"), naive_retrieval.Retrieval(11, 3, 6)),
}
PAIRS = [
    "a_shape+streaming_llm",
    "a_shape+kivi",
    "a_shape+retrieval_attention",
    "tri_shape+snapkv",
    "tri_shape+pyramidkv",
    "tri_shape+quest",
    "minference+pyramidkv",
    "minference+kivi",
    "minference+turboquant",
    "minference+quest",
    "minference+retrieval_attention",
]


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("mode", ["multi_turn", "multi_request"])
def test_a_pair_equals_the_naive_loop(pair, mode):
    plan, act = pair.split("+")
    oracle = naive_methods.Both(PLANS[plan][1], ACTS[act][1])
    plain, dialogue = tiny.model("llama", "sequential"), tiny.dialogue()
    if mode == "multi_turn":
        expected = sequential.multi_turn(plain, dialogue, oracle, LIMIT)
    else:
        expected = sequential.multi_request(plain, dialogue, oracle, LIMIT, "free")
    decoder = engine.decoder(tiny.model("llama", "eager"))
    answers = engine.answers(decoder, dialogue, mode, LIMIT, (PLANS[plan][0], ACTS[act][0]))
    assert answers == expected
    assert answers != engine.answers(decoder, dialogue, mode, LIMIT, PLANS[plan][0])
