"""A base that is short for a method, and a dialogue that grows: what had nothing to do begins when it has."""

import pytest

from oracles import engine, naive_methods, naive_retrieval, naive_rocketkv, naive_turboquant, sequential, tiny
from scbench.methods.compression.kivi import Kivi
from scbench.methods.compression.snapkv import SnapKV
from scbench.methods.compression.streaming_llm import StreamingLLM
from scbench.methods.compression.turboquant import TurboQuant
from scbench.methods.loading.quest import Quest
from scbench.methods.loading.retrieval_attention import RetrievalAttention
from scbench.methods.loading.rocketkv import RocketKV

LIMIT = 6
PROTECTED = frozenset(range(4))
GROWING = {
    "quest": (Quest(24, 4, 0), naive_methods.Quest(24, 4, 0)),
    "kivi": (Kivi(2, 8, 8), naive_methods.Kivi(2, 8, 8)),
    "rocketkv": (RocketKV(24, 7, 5), naive_rocketkv.RocketKV(24, 7, 5)),
    "turboquant": (TurboQuant(2, residual=20), naive_turboquant.TurboQuant(2, residual=20)),
    "retrieval_attention": (RetrievalAttention(9, 8, 6, "each"), naive_retrieval.Retrieval(9, 8, 6)),
}


@pytest.mark.parametrize("name", GROWING)
@pytest.mark.parametrize("context", [7, *(pytest.param(size, marks=pytest.mark.slow) for size in (4, 15))])
@pytest.mark.parametrize("mode", ["multi_turn", "multi_request"])
@pytest.mark.parametrize("batch", ["method", pytest.param("family", marks=pytest.mark.slow)])
def test_forms_that_grow_equal_the_naive_loop(name, context, mode, batch):
    method, oracle = GROWING[name]
    dialogue = tiny.dialogue(turns=4, context=context, stretch=6)
    runs = sequential.multi_turn if mode == "multi_turn" else sequential.multi_request
    expected = [tuple(a) for a in runs(tiny.model("llama", "sequential"), dialogue, oracle, LIMIT)]
    jobs = [engine.job(dialogue, mode, LIMIT, method), engine.job(dialogue, mode, LIMIT, name="dense")]
    done = engine.run(engine.decoder(tiny.model("llama", "eager")), jobs, dialogue.stop, batch)
    turns = done[f"{mode}-gold"]
    assert [turn.answer.tokens for turn in turns] == expected
    for turn, dense in zip(turns, done["dense"], strict=True):
        if turn.noop:
            assert turn.answer == dense.answer
    if mode == "multi_turn":
        assert not turns[-1].noop


@pytest.mark.parametrize("compress", ["each", "isolated"])
@pytest.mark.parametrize(
    ("method", "oracle"),
    [
        (StreamingLLM(5, 60), naive_methods.Streaming(5, 60)),
        (SnapKV(64, 7, 5), naive_methods.SnapKV(64, 7, 5, "mean", PROTECTED)),
    ],
)
def test_a_repeated_compression_begins_where_there_is_enough(method, oracle, compress):
    dialogue = tiny.dialogue(turns=4, context=7, stretch=6)
    decoder = engine.decoder(tiny.model("llama", "eager"))
    jobs = [engine.job(dialogue, "multi_turn", LIMIT, method, compress=compress)]
    (turns,) = engine.run(decoder, jobs, dialogue.stop).values()
    if compress == "each":
        plain = tiny.model("llama", "sequential")
        expected = sequential.multi_turn(plain, dialogue, oracle, LIMIT, compress=compress)
        assert [list(turn.answer.tokens) for turn in turns] == expected
    assert turns[0].noop
    assert not turns[-1].noop
    assert max(turns[-1].kept) < len(turns[-1].prompt)
