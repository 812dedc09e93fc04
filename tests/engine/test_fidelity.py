"""Fidelity against the naive sequential loop: how likely the gold answer is, and how far predictions are from dense."""

from dataclasses import replace

import pytest
import torch

from oracles import engine, naive_methods, sequential, tiny
from oracles.method_pairs import METHODS
from scbench.engine.config import EngineConfig
from scbench.engine.session import run_session
from scbench.methods.compression.kivi import Kivi
from scbench.methods.compression.snapkv import SnapKV
from scbench.methods.compression.streaming_llm import StreamingLLM
from scbench.methods.generation.a_shape import AShape
from scbench.methods.generation.dense import Dense
from scbench.methods.loading.quest import Quest

LIMIT = 4
TURNS = 3


def measured(decoder, dialogue, methods, mode, fidelity="auto", history="gold", batch="method"):
    """Per method the fidelity of every turn."""
    jobs = [
        engine.job(dialogue, mode, LIMIT, method, history=history, name=str(number), measured=True)
        for number, method in enumerate(methods)
    ]
    config = EngineConfig(fidelity=fidelity, batch=batch)
    done = {d.job.cell: d for d in run_session(decoder, jobs, dialogue.stop, config, lambda *_: None, 250)}
    assert all(one.failure is None for one in done.values()), [d.failure and d.failure.trace for d in done.values()]
    return [[turn.fidelity for turn in done[str(number)].turns] for number in range(len(methods))]


def expected(model, dialogue, oracle, mode):
    """(log-likelihood, KL to dense) per turn, by the naive loop."""
    runs = sequential.multi_turn if mode == "multi_turn" else sequential.multi_request
    here, dense = (
        [logits.double().log_softmax(-1) for logits in runs(model, dialogue, one, LIMIT, gold=True)]
        for one in (oracle, naive_methods.Nothing())
    )
    found = []
    for turn, gold in enumerate(dialogue.gold):
        likelihood = sum(float(here[turn][place, token]) for place, token in enumerate(gold))
        each = [
            sum(float(p.exp() * (p - q)) for p, q in zip(dense[turn][t], here[turn][t], strict=True))
            for t in range(len(gold))
        ]
        found.append((likelihood, sum(each) / len(each)))
    return found


@pytest.mark.parametrize("mode", ["multi_turn", "multi_request"])
@pytest.mark.parametrize("name", ["streaming_llm", "snapkv", "kivi", "quest", "a_shape", "rocketkv"])
def test_equals_the_naive_loop(name, mode):
    method, oracle = METHODS[name]
    dialogue = tiny.dialogue()
    (found,) = measured(engine.decoder(tiny.model("llama", "eager")), dialogue, [method], mode, fidelity="kl")
    for here, gold, (likelihood, divergence) in zip(
        found, dialogue.gold, expected(tiny.model("llama", "sequential"), dialogue, oracle, mode), strict=True
    ):
        assert here.tokens == len(gold)
        assert here.log_likelihood == pytest.approx(likelihood, abs=1e-3)
        assert here.kl_to_dense == pytest.approx(divergence, rel=1e-2, abs=1e-4)
    assert any(one.kl_to_dense > 1e-3 for one in found)


@pytest.mark.parametrize("model", ["llama", "gemma3", "bamba"])
@pytest.mark.parametrize("mode", ["multi_turn", "multi_request"])
def test_dense_finds_the_gold_answer_as_likely_as_transformers_does(model, mode):
    dialogue = tiny.dialogue()
    plain = tiny.model(model, "eager")
    prompts = [[*dialogue.context, *dialogue.opening[0]]]
    for turn in range(1, TURNS):
        prompts.append([*prompts[-1], *dialogue.gold[turn - 1], *dialogue.followup[turn]])
    if mode == "multi_request":
        prompts = [[*dialogue.context, *question] for question in dialogue.opening]
    wanted = []
    for prompt, gold in zip(prompts, dialogue.gold, strict=True):
        with torch.inference_mode():
            logits = plain(torch.tensor([[*prompt, *gold]])).logits[0].log_softmax(-1)
        wanted.append(sum(float(logits[len(prompt) - 1 + place, token]) for place, token in enumerate(gold)))
    (found,) = measured(engine.decoder(tiny.model(model, "eager")), dialogue, [Dense()], mode)
    assert [one.log_likelihood for one in found] == pytest.approx(wanted, abs=1e-3)
    assert [one.kl_to_dense for one in found] == [0.0] * TURNS


@pytest.mark.parametrize("batch", ["method", "family"])
@pytest.mark.parametrize("mode", ["multi_turn", "multi_request"])
def test_a_family_measures_what_its_cells_measure_alone(mode, batch):
    decoder, dialogue = engine.decoder(tiny.model("llama", "eager")), tiny.dialogue()
    methods = [SnapKV(30, 7, 5), Dense(), Kivi(2, 8, 8), StreamingLLM(5, 24), StreamingLLM(5, 4000), Quest(24, 4, 0)]
    together = measured(decoder, dialogue, methods, mode, batch=batch)
    for method, found in zip(methods, together, strict=True):
        (alone,) = measured(decoder, dialogue, [method], mode)
        for one, other in zip(found, alone, strict=True):
            assert one.log_likelihood == pytest.approx(other.log_likelihood, abs=1e-4)
            assert one.kl_to_dense == pytest.approx(other.kl_to_dense, abs=1e-5)
    assert max(one.kl_to_dense for one in together[4]) < 1e-6  # it had nothing to do


def test_generated_history_is_compared_with_dense_over_the_same_history():
    decoder, dialogue = engine.decoder(tiny.model("llama", "eager")), tiny.dialogue()
    streaming = StreamingLLM(5, 24)
    (found,) = measured(decoder, dialogue, [streaming], "multi_turn", history="generated")
    said = engine.answers(decoder, dialogue, "multi_turn", LIMIT, streaming, history="generated")
    retold = replace(dialogue, gold=tuple(map(tuple, said)))
    jobs = [engine.job(retold, "multi_turn", LIMIT, m, name=str(n)) for n, m in enumerate([streaming, Dense()])]
    jobs = [replace(job, gold=dialogue.gold) for job in jobs]
    done = list(run_session(decoder, jobs, dialogue.stop, EngineConfig(), lambda *_: None, 250))
    again = next(d for d in done if d.job.cell == "0")
    for one, turn in zip(found, again.turns, strict=True):
        assert one.log_likelihood == pytest.approx(turn.fidelity.log_likelihood, abs=1e-4)
        assert one.kl_to_dense == pytest.approx(turn.fidelity.kl_to_dense, abs=1e-5)


def test_what_costs_a_dense_prefill_is_not_measured_unasked():
    decoder, dialogue = engine.decoder(tiny.model("llama", "eager")), tiny.dialogue()
    (planned,) = measured(decoder, dialogue, [AShape(5, 17)], "multi_turn", "auto")
    assert all(one.kl_to_dense is None and one.log_likelihood < 0 for one in planned)
    (gold,) = measured(decoder, dialogue, [StreamingLLM(5, 24)], "multi_turn", "gold")
    assert all(one.kl_to_dense is None and one.log_likelihood < 0 for one in gold)


def test_a_large_vocabulary_is_predicted_in_parts(monkeypatch):
    decoder, dialogue = engine.decoder(tiny.model("llama", "eager")), tiny.dialogue()
    (whole,) = measured(decoder, dialogue, [SnapKV(30, 7, 5)], "multi_request")
    monkeypatch.setattr("scbench.engine.answer.PREDICTED", 1)
    (parts,) = measured(decoder, dialogue, [SnapKV(30, 7, 5)], "multi_request")
    for one, other in zip(whole, parts, strict=True):
        assert one.log_likelihood == pytest.approx(other.log_likelihood, abs=1e-4)
