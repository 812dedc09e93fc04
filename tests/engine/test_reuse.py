"""A context put together from pieces: equal to a naive loop that reads the pieces apart and repairs token by token."""

import math
from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch

from oracles import engine, naive_methods, sample_methods, sequential, tiny
from oracles.method_pairs import METHODS
from scbench.engine.config import EngineConfig
from scbench.engine.session import run_session
from scbench.methods.compression.snapkv import SnapKV
from scbench.methods.compression.streaming_llm import StreamingLLM
from scbench.methods.retrieval.cacheblend import CacheBlend
from scbench.methods.retrieval.epic import Epic
from scbench.record import Outcome

LIMIT = 6
CUTS = (13, 30, 47)


@dataclass(frozen=True)
class Pieces(sample_methods.Pieces):
    """Its cuts can be set."""

    cuts: tuple[int, ...] = CUTS
    repaired: int = 3

    def reuse(self, base):
        return self.cuts


@dataclass(frozen=True)
class Blending(sample_methods.Blending):
    cuts: tuple[int, ...] = CUTS

    def reuse(self, base):
        return self.cuts


def naive_context(model, dialogue, cuts, repaired, last=True, compared=None):
    """The cache of a context whose pieces were read apart and whose tokens `repaired` were read again, in order.

    In the layer that was `compared`, if one was, all entries are those of the whole context.
    """
    whole = sequential.Lists(naive_methods.Nothing())
    edges = [0, *cuts, len(dialogue.context)]
    for start, stop in pairwise(edges):
        piece = sequential.Lists(naive_methods.Nothing(), position=start)
        logits = sequential.feed(model, piece, dialogue.context[start:stop])
        for layer, heads in piece.layers.items():
            whole.windows[layer], whole.scale = piece.windows[layer], piece.scale
            mine = whole.layers.setdefault(layer, [[] for _ in heads])
            for own, entries in zip(mine, heads, strict=True):
                own += entries
    if compared is not None:
        full = sequential.Lists(naive_methods.Nothing())
        sequential.feed(model, full, dialogue.context)
        whole.layers[compared] = full.layers[compared]
    for place in sorted({*repaired, len(dialogue.context) - 1} if last else repaired):
        for heads in whole.layers.values():
            for entries in heads:
                entries[:] = [e for e in entries if e.position != place]
        whole.position = place
        logits = sequential.feed(model, whole, [dialogue.context[place]])
        for heads in whole.layers.values():
            for entries in heads:
                entries.sort(key=lambda e: e.position)
    whole.position = len(dialogue.context)
    whole.queries = asked(model, whole, dialogue.context)
    return whole, logits


def asked(model, whole, context, last=7):
    """The queries of the last tokens, which no store has: read again over what the cache holds before them."""
    again = sequential.Lists(naive_methods.Nothing(), position=len(context) - last)
    for layer, heads in whole.layers.items():
        again.layers[layer] = [[e for e in entries if e.position < again.position] for entries in heads]
    sequential.feed(model, again, context[-last:])
    return again.queries


def deviating(model, dialogue, cuts, count):
    """The tokens whose values at layer 1 are furthest from those of the whole context."""
    apart, _ = naive_context(model, dialogue, cuts, (), last=False)
    whole = sequential.Lists(naive_methods.Nothing())
    sequential.feed(model, whole, dialogue.context)
    distance = torch.zeros(len(dialogue.context))
    for here, there in zip(apart.layers[1], whole.layers[1], strict=True):
        there = {entry.position: entry for entry in there}
        for entry in here:
            distance[entry.position] += (entry.v - there[entry.position].v).square().sum()
    return distance.topk(count).indices.tolist()


def expected(model, dialogue, cuts, repaired, mode, actor=None, compared=None):
    """What is answered from such a context; another method may act on it, at the end of the base."""
    answers = []
    for turn in range(len(dialogue.opening)):
        cache, logits = naive_context(model, dialogue, cuts, repaired, compared=compared)
        cache.method = actor or cache.method
        spans = [dialogue.opening[turn]]
        if mode == "multi_turn":
            later = [[*dialogue.gold[past], *dialogue.followup[past + 1]] for past in range(turn)]
            logits = sequential.feed(model, cache, dialogue.opening[0])
            spans = later
        sequential.act(cache)
        for span in spans:
            logits = sequential.feed(model, cache, span)
            sequential.again(cache, "once")
        answers.append(sequential.greedy(model, cache, logits, LIMIT, dialogue.stop))
    return answers


def turned(k_D, places, theta):
    """A key moved on by so many places: pairs (i, i + D/2) turned by an angle of `places` · theta^(-2i/D)."""
    half = len(k_D) // 2
    found = k_D.clone()
    for i in range(half):
        angle = places * theta ** (-i / half)
        one, other = float(k_D[i]), float(k_D[i + half])
        found[i] = one * math.cos(angle) - other * math.sin(angle)
        found[i + half] = one * math.sin(angle) + other * math.cos(angle)
    return found


def test_a_chunk_at_its_place_is_a_stored_chunk_with_its_keys_turned():
    """CacheBlend's store has chunks that begin at 0; what the engine reads at a chunk's place is the same."""
    dialogue, plain = tiny.dialogue(), tiny.model("llama", "sequential")
    here = sequential.Lists(naive_methods.Nothing(), position=CUTS[1])
    stored = sequential.Lists(naive_methods.Nothing())
    for cache in (here, stored):
        sequential.feed(plain, cache, dialogue.context[CUTS[1] : CUTS[2]])
    theta = plain.config.rope_parameters["rope_theta"]
    for layer, heads in here.layers.items():
        for one, other in zip(heads, stored.layers[layer], strict=True):
            for entry, kept in zip(one, other, strict=True):
                torch.testing.assert_close(entry.k, turned(kept.k, CUTS[1], theta), atol=1e-5, rtol=1e-5)
                torch.testing.assert_close(entry.v, kept.v, atol=1e-5, rtol=1e-5)


ACTORS = {
    "streaming_llm": (StreamingLLM(5, 24), naive_methods.Streaming(5, 24)),
    "snapkv": METHODS["snapkv"],
    "kivi": METHODS["kivi"],
    "quest": METHODS["quest"],
}


@pytest.mark.parametrize("mode", ["multi_turn", "multi_request"])
@pytest.mark.parametrize("pair", ["cacheblend+streaming_llm", "cacheblend+snapkv", "epic+kivi", "epic+quest"])
def test_a_pair_equals_the_naive_loop(pair, mode):
    dialogue, plain = tiny.dialogue(), tiny.model("llama", "sequential")
    name, act = pair.split("+")
    cuts, method = (20, 40, 60), CacheBlend(20, 0.2) if name == "cacheblend" else Epic(20, 4)
    blends = name == "cacheblend"
    repaired = deviating(plain, dialogue, cuts, 13) if blends else [*range(20, 24), *range(40, 44), 60]
    decoder = engine.decoder(tiny.model("llama", "eager"))
    answers = engine.answers(decoder, dialogue, mode, LIMIT, (method, ACTORS[act][0]))
    assert answers == expected(plain, dialogue, cuts, repaired, mode, ACTORS[act][1], 1 if blends else None)
    assert answers != engine.answers(decoder, dialogue, mode, LIMIT, method)


@pytest.mark.parametrize("mode", ["multi_turn", "multi_request"])
@pytest.mark.parametrize("query", ["free", "aware"])
@pytest.mark.parametrize("name", ["llama", *(pytest.param(name, marks=pytest.mark.slow) for name in ("qwen3", "glm4"))])
def test_equals_the_naive_loop(name, query, mode):
    dialogue, plain = tiny.dialogue(), tiny.model(name, "sequential")
    repaired = [cut + place for cut in CUTS for place in range(3)]
    answers = engine.answers(
        engine.decoder(tiny.model(name, "eager"), chunk=8), dialogue, mode, LIMIT, Pieces(), query=query
    )
    assert answers == expected(plain, dialogue, CUTS, repaired, mode)
    assert answers != engine.answers(engine.decoder(tiny.model(name, "eager")), dialogue, mode, LIMIT)


@pytest.mark.parametrize("mode", ["multi_turn", "multi_request"])
def test_the_tokens_that_deviate_most_are_computed_again(mode):
    dialogue, plain = tiny.dialogue(), tiny.model("llama", "sequential")
    repaired = deviating(plain, dialogue, CUTS, 9)
    answers = engine.answers(engine.decoder(tiny.model("llama", "eager")), dialogue, mode, LIMIT, Blending(repaired=9))
    assert answers == expected(plain, dialogue, CUTS, repaired, mode, compared=1)


@pytest.mark.parametrize("method", [Pieces(cuts=()), Pieces(repaired=4000), Blending(repaired=61)])
@pytest.mark.parametrize("name", ["llama", "mistral", "gemma3"])
@pytest.mark.parametrize("history", ["gold", "generated"])
def test_one_piece_or_all_tokens_repaired_is_the_dense_cache(method, name, history):
    decoder, dialogue = engine.decoder(tiny.model(name, "eager")), tiny.dialogue()
    dense = engine.answers(decoder, dialogue, "multi_turn", LIMIT, None, None, history)
    found = engine.answers(decoder, dialogue, "multi_turn", LIMIT, method, None, history)
    assert found == dense


def test_what_was_computed_ahead_is_counted_apart_and_the_rest_as_density():
    decoder, dialogue = engine.decoder(tiny.model("llama", "eager")), tiny.dialogue()
    jobs = [engine.job(dialogue, "multi_request", LIMIT, Pieces())]
    (turns,) = engine.run(decoder, jobs, dialogue.stop).values()
    times = turns[0].times
    assert times["precompute"].seconds > 0
    assert times["precompute"].scope == "shared"
    assert times["prefill"].seconds > 0
    repaired = [cut + place for cut in CUTS for place in range(3)] + [len(dialogue.context) - 1]
    length = len(dialogue.context)
    share = sum(place + 1 for place in repaired) / (length * (length + 1) / 2)
    assert turns[0].density == pytest.approx((share,) * 3)


def test_it_goes_together_with_what_acts_later():
    decoder, dialogue = engine.decoder(tiny.model("llama", "eager")), tiny.dialogue()
    alone = engine.answers(decoder, dialogue, "multi_turn", LIMIT, (Pieces(cuts=()), StreamingLLM(5, 24)))
    assert alone == engine.answers(decoder, dialogue, "multi_turn", LIMIT, StreamingLLM(5, 24))


@pytest.mark.parametrize("mode", ["multi_turn", "multi_request"])
def test_what_acts_later_sees_the_queries_of_the_context_that_was_put_together(mode):
    decoder, dialogue = engine.decoder(tiny.model("llama", "eager")), tiny.dialogue()
    snapkv = SnapKV(30, 7, 5)
    alone = engine.answers(decoder, dialogue, mode, LIMIT, snapkv)
    assert engine.answers(decoder, dialogue, mode, LIMIT, (Pieces(repaired=4000), snapkv)) == alone
    assert engine.answers(decoder, dialogue, mode, LIMIT, (Pieces(), snapkv)) != alone


def test_a_model_with_states_is_refused():
    decoder, dialogue = engine.decoder(tiny.model("bamba", "eager")), tiny.dialogue()
    jobs = [
        engine.job(dialogue, "multi_turn", LIMIT, Pieces()),
        engine.job(dialogue, "multi_turn", LIMIT, name="dense"),
    ]
    done = {d.job.cell: d for d in run_session(decoder, jobs, dialogue.stop, EngineConfig(), lambda *_: None, 200)}
    assert done["multi_turn-gold"].failure.outcome is Outcome.ERROR
    assert "keep states of all that came before" in done["multi_turn-gold"].failure.detail
    assert done["dense"].failure is None


def test_cacheblend_computes_again_what_deviates_most():
    dialogue, plain = tiny.dialogue(), tiny.model("llama", "sequential")
    cuts = (20, 40, 60)
    repaired = deviating(plain, dialogue, cuts, 13)  # a fifth of 61 tokens, rounded up
    decoder = engine.decoder(tiny.model("llama", "eager"))
    for mode in ("multi_turn", "multi_request"):
        answers = engine.answers(decoder, dialogue, mode, LIMIT, CacheBlend(20, 0.2))
        assert answers == expected(plain, dialogue, cuts, repaired, mode, compared=1)


def test_epic_computes_the_first_tokens_of_every_chunk_again():
    dialogue, plain = tiny.dialogue(), tiny.model("llama", "sequential")
    repaired = [*range(20, 24), *range(40, 44), 60]
    decoder = engine.decoder(tiny.model("llama", "eager"))
    for mode in ("multi_turn", "multi_request"):
        answers = engine.answers(decoder, dialogue, mode, LIMIT, Epic(20, 4))
        assert answers == expected(plain, dialogue, (20, 40, 60), repaired, mode)


def test_a_model_whose_layers_all_slide_has_its_context_put_together_too():
    decoder, dialogue = engine.decoder(tiny.model("mistral", "eager")), tiny.dialogue()
    (turns,) = engine.run(decoder, [engine.job(dialogue, "multi_turn", LIMIT, Pieces())], dialogue.stop).values()
    assert not any(turn.noop for turn in turns)
