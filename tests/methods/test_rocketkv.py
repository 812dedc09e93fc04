"""RocketKV's arithmetic, and when it chooses: at the end of every prompt, anew, for the answer alone."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from oracles import engine, tiny
from scbench.errors import ScbenchError
from scbench.methods.base import Base, Layer, Queries
from scbench.methods.loading.rocketkv import RocketKV, divided
from scbench.segments.dense import DenseSegment
from scbench.segments.hybrid import Hybrid


@pytest.mark.parametrize(
    ("tokens", "budget", "dim", "candidates", "hybrid"),
    [
        # the paper's example (§3.6): 64 times less is 10.3 in the first stage and 6.2 in the second, in pages of 3
        (65536, 1024, 128, 6383, Hybrid(3, 170, 61)),
        (131072, 1024, 128, 6472, Hybrid(3, 170, 60)),
        (1025, 1024, 64, 1024, Hybrid(1, 512, 64)),
        (2**20, 256, 128, 1351, Hybrid(3, 42, 72)),  # the share ends at 0.8
        (10, 1, 12, 3, Hybrid(2, 1, 8)),
    ],
)
def test_the_saving_is_divided(tokens, budget, dim, candidates, hybrid):
    assert divided(tokens, budget, dim) == (candidates // hybrid.page * hybrid.page, hybrid)


@given(st.integers(2, 10**6), st.integers(2, 8192), st.integers(4, 256))
def test_a_token_reads_no_more_than_the_budget(tokens, budget, dim):
    budget = min(budget, tokens - 1)
    candidates, hybrid = divided(tokens, budget, dim)
    assert budget <= candidates <= tokens and candidates % hybrid.page == 0
    assert hybrid.pages * hybrid.page <= max(budget / 2, hybrid.page)
    assert hybrid.channels <= dim
    if hybrid.channels > 1:  # bounds are read on one side, keys and values on two
        assert hybrid.channels * candidates / hybrid.page <= dim * budget * (1 + 1e-9)


def chosen(method, weights, tokens=30):
    """The candidates where the last queries look at these positions with these weights."""
    k = torch.zeros(1, tokens, 4)
    for position, weight in weights.items():
        k[0, position, 0] = math.log(weight)
    q = torch.zeros(2, method.queries, 4)
    q[..., 0] = 1.0
    segment = method.focus(DenseSegment(0, k, k), Queries(q, tokens, 1.0), Layer(0, 1), Base(tokens))
    return segment.chosen.position_GL[0].tolist()


def test_candidates_are_what_is_looked_at_its_neighbours_and_the_newest():
    """15 times less: 30 / 15^0.434 = 9 candidates, of which the newest is one; it lends its weight to no neighbour."""
    method = RocketKV(2, 1, 3)
    assert chosen(method, {5: 90.0, 14: 50.0, 29: 1000.0}) == [0, 1, 4, 5, 6, 13, 14, 15, 29]


@pytest.fixture
def calls(monkeypatch):
    """What the first layer is told whenever a method chooses: tokens, the queries' first and last, keys."""
    told, focus = [], RocketKV.focus

    def watched(self, cache, queries, layer, base):
        if layer.index == 0:
            told.append((base.tokens, queries.start, queries.stop, cache.k_GLD.shape[1]))
        return focus(self, cache, queries, layer, base)

    monkeypatch.setattr(RocketKV, "focus", watched)
    return told


@pytest.mark.parametrize("history", ["gold", "generated"])
@pytest.mark.parametrize("query", ["aware", "free"])
def test_every_turn_chooses_once_from_everything(history, query, calls):
    dialogue = tiny.dialogue()
    decoder = engine.decoder(tiny.model("llama", "eager"))
    jobs = [engine.job(dialogue, "multi_turn", 6, RocketKV(10, 4, 5), history=history, query=query)]
    (turns,) = engine.run(decoder, jobs, dialogue.stop).values()
    ends = [len(turn.prompt) for turn in turns]
    assert calls == [(end, end - 4, end, end) for end in ends]
    assert [min(turn.kept) for turn in turns] == ends


def test_every_request_chooses_with_its_own_question(calls):
    dialogue = tiny.dialogue()
    decoder = engine.decoder(tiny.model("llama", "eager"))
    jobs = [engine.job(dialogue, "multi_request", 6, RocketKV(10, 4, 5))]
    engine.run(decoder, jobs, dialogue.stop)
    ends = [len(dialogue.context) + len(question) for question in dialogue.opening]
    assert calls == [(end, end - 4, end, end) for end in ends]


def test_a_cache_within_the_budget_is_left_alone():
    dialogue = tiny.dialogue()
    decoder = engine.decoder(tiny.model("llama", "eager"))
    (turns,) = engine.run(decoder, [engine.job(dialogue, "multi_turn", 6, RocketKV(200, 4, 5))], dialogue.stop).values()
    assert all(turn.noop for turn in turns)
    assert [list(turn.answer.tokens) for turn in turns] == engine.answers(decoder, dialogue, "multi_turn", 6)


def test_less_is_touched_than_the_budget_and_more_is_stored_than_dense():
    dialogue = tiny.dialogue()
    decoder = engine.decoder(tiny.model("llama", "eager"))
    (turns,) = engine.run(decoder, [engine.job(dialogue, "multi_turn", 6, RocketKV(20, 4, 5))], dialogue.stop).values()
    for turn in turns:
        assert turn.kv_bytes.touched <= turn.kv_bytes.dense * 20 / len(turn.prompt)
        assert turn.kv_bytes.stored > turn.kv_bytes.dense


def test_the_budget_shrinks_the_window():
    assert RocketKV().with_tokens(100) == RocketKV(100, 50, 63)
    assert RocketKV().with_tokens(4096) == RocketKV(4096, 128, 63)


@pytest.mark.parametrize("wrong", [{"window": 0}, {"tokens": 100}, {"kernel": 4}, {"kernel": -1}])
def test_options_that_are_refused(wrong):
    with pytest.raises(ScbenchError, match="rocketkv: tokens="):
        RocketKV(**wrong)
