"""The protocol is wide enough for forms of KV that no method here uses: latent vectors, and keys that have a bias."""

import math
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from oracles import engine, naive_methods, sequential, tiny
from scbench.kernels.spec import Partial
from scbench.methods.base import Method
from scbench.segments.base import Footprint, Segment

LIMIT = 6


class LatentSegment(Segment):
    """One vector per token for keys and values of all heads; projections are absorbed into queries and outputs."""

    def __init__(self, start, latent_LR, key_GRD, value_GRD):
        super().__init__(start)
        self.latent_LR, self.key_GRD, self.value_GRD = latent_LR, key_GRD, value_GRD

    @property
    def stop(self):
        return self.start + len(self.latent_LR)

    def attend(self, q_GND, visible, spec, kernels):
        score_GNL = q_GND @ self.key_GRD.transpose(1, 2) @ self.latent_LR.T * spec.scale
        part = _weighed(score_GNL, self.latent_LR.expand(len(q_GND), -1, -1), self.start, visible)
        return Partial(part.out_GND @ self.value_GRD, part.lse_GN)

    def footprint(self, stop):
        size = self.latent_LR[: stop - self.start].numel() * self.latent_LR.element_size()
        return Footprint(stop - self.start, size, size)


class BiasedSegment(Segment):
    """Fewer, synthetic keys, each with a bias on its score: it stands for several tokens."""

    def __init__(self, start, stop, k_GMD, v_GMD, bias_M):
        super().__init__(start)
        self._stop, self.k_GMD, self.v_GMD, self.bias_M = stop, k_GMD, v_GMD, bias_M

    @property
    def stop(self):
        return self._stop

    def attend(self, q_GND, visible, spec, kernels):
        if not visible.covers(self.start, self.stop):
            raise RuntimeError("synthetic keys have no position")
        score_GNM = q_GND @ self.k_GMD.transpose(1, 2) * spec.scale + self.bias_M
        lse_GN = score_GNM.logsumexp(-1)
        return Partial((score_GNM - lse_GN.unsqueeze(-1)).exp() @ self.v_GMD, lse_GN)

    def footprint(self, stop):
        size = 2 * self.k_GMD.numel() * self.k_GMD.element_size() + self.bias_M.numel() * 4
        return Footprint(self.k_GMD.shape[1], size, size)


def _weighed(score_GNL, v_GLD, start, visible):
    place_L = torch.arange(start, start + score_GNL.shape[-1])
    seen_NL = (place_L >= visible.lo_N[:, None]) & (place_L < visible.hi_N[:, None])
    lse_GN = score_GNL.masked_fill(~seen_NL, -torch.inf).logsumexp(-1)
    weight_GNL = (score_GNL - lse_GN.unsqueeze(-1)).exp().masked_fill(~seen_NL, 0.0)
    return Partial(weight_GNL.nan_to_num() @ v_GLD, lse_GN)


@dataclass(frozen=True)
class Latent(Method):
    """All keys and values of a token, turned by a random rotation: full rank, so nothing is lost."""

    stages: ClassVar[tuple[str, ...]] = ("compression",)

    def compress(self, cache, queries, layer, base):
        heads, tokens, dim = cache.k_GLD.shape
        rank = 2 * heads * dim
        token_LR = torch.cat([cache.k_GLD, cache.v_GLD]).transpose(0, 1).reshape(tokens, rank)
        generator = torch.Generator().manual_seed(layer.index)
        turn_RR, _ = torch.linalg.qr(torch.randn(rank, rank, generator=generator))
        back_GRD = turn_RR.T.reshape(rank, 2 * heads, dim).transpose(0, 1)
        return LatentSegment(cache.start, token_LR @ turn_RR, back_GRD[:heads], back_GRD[heads:])


@dataclass(frozen=True)
class Doubling(Method):
    """Every other token goes, and its neighbour before it counts twice."""

    stages: ClassVar[tuple[str, ...]] = ("compression",)

    def compress(self, cache, queries, layer, base):
        k_GMD, v_GMD = cache.k_GLD[:, ::2].clone(), cache.v_GLD[:, ::2].clone()
        bias_M = torch.full((k_GMD.shape[1],), math.log(2))
        if cache.k_GLD.shape[1] % 2:
            bias_M[-1] = 0.0
        return BiasedSegment(cache.start, cache.stop, k_GMD, v_GMD, bias_M)


class NaiveDoubling(naive_methods.Nothing):
    def act(self, cache, queries, since=0):
        for _, heads in cache.full():
            for entries in heads:
                entries[:] = [entries[place - place % 2] for place in range(len(entries))]


@pytest.mark.parametrize("model", ["llama", "gemma3", "bamba"])
@pytest.mark.parametrize("mode", ["multi_turn", "multi_request"])
@pytest.mark.parametrize("batch", ["method", "family"])
def test_a_latent_cache_of_full_rank_answers_as_the_dense_one(model, mode, batch):
    decoder, dialogue = engine.decoder(tiny.model(model, "eager")), tiny.dialogue()
    jobs = [engine.job(dialogue, mode, LIMIT, name="dense"), engine.job(dialogue, mode, LIMIT, Latent(), name="latent")]
    done = engine.run(decoder, jobs, dialogue.stop, batch)
    assert [turn.answer for turn in done["latent"]] == [turn.answer for turn in done["dense"]]


@pytest.mark.parametrize("mode", ["multi_turn", "multi_request"])
@pytest.mark.parametrize("history", ["gold", "generated"])
def test_keys_with_a_bias_answer_as_tokens_that_stand_there_twice(mode, history):
    decoder, dialogue = engine.decoder(tiny.model("llama", "eager")), tiny.dialogue()
    plain = tiny.model("llama", "sequential")
    if mode == "multi_turn":
        expected = sequential.multi_turn(plain, dialogue, NaiveDoubling(), LIMIT, history)
    else:
        expected = sequential.multi_request(plain, dialogue, NaiveDoubling(), LIMIT)
    assert engine.answers(decoder, dialogue, mode, LIMIT, Doubling(), None, history) == expected
    assert expected != engine.answers(decoder, dialogue, mode, LIMIT, None, None, history)
