"""Where dense attention looks: against a model's own attention weights, and a model that looks where it is told."""

from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from oracles import engine, tiny
from scbench.engine.config import EngineConfig
from scbench.engine.session import run_session
from scbench.methods.budget import Budget
from scbench.methods.compression.kivi import Kivi
from scbench.methods.compression.snapkv import SnapKV
from scbench.methods.compression.streaming_llm import StreamingLLM
from scbench.methods.generation.a_shape import AShape
from scbench.methods.generation.dense import Dense
from scbench.methods.loading.quest import Quest
from scbench.prompts.dialogue import Dialogue
from scbench.record import Outcome

LIMIT = 20
CONFIG = EngineConfig(diagnostics="attention", fidelity="none")


def seen(model, dialogue, method, mode, history="gold", budget=None, batch="method", query="auto"):
    decoder = engine.decoder(model)
    jobs = [engine.job(dialogue, mode, LIMIT, method, budget, history, query)]
    (done,) = run_session(decoder, jobs, dialogue.stop, replace(CONFIG, batch=batch), lambda *_: None, 400)
    assert done.failure is None, done.failure.trace
    return done.turns


def numbers(per_head):
    return [value for layer in per_head for head in layer for value in head]


@pytest.mark.parametrize(
    "name", ["llama", *(pytest.param(name, marks=pytest.mark.slow) for name in ("gemma3", "mistral"))]
)
@pytest.mark.parametrize("mode", ["multi_turn", "multi_request"])
@pytest.mark.parametrize("history", ["gold", "generated"])
@pytest.mark.parametrize("method", [Dense(), Kivi(2, 8, 8), StreamingLLM(5, 4000), Quest(4000, 4, 0)])
def test_a_cache_that_keeps_all_has_all_the_mass(name, mode, history, method):
    for turn in seen(tiny.model(name, "eager"), tiny.dialogue(), method, mode, history):
        found = turn.diagnostics
        assert numbers(found.mass) == [1.0] * len(numbers(found.mass))
        assert found.steps == tuple(range(0, len(turn.answer.tokens), 16))
        assert turn.times["diagnostics"].seconds > 0


@pytest.mark.parametrize("mode", ["multi_turn", "multi_request"])
@pytest.mark.parametrize("batch", ["method", "family"])
def test_mass_and_overlap_are_those_of_the_models_own_attention(mode, batch):
    dialogue, kept = tiny.dialogue(), {*range(5), *range(61 - 19, 61)}
    plain = tiny.model("llama", "eager")
    turns = seen(
        tiny.model("llama", "eager"), dialogue, StreamingLLM(5, 19), mode, budget=Budget(24), batch=batch, query="free"
    )
    before = None
    for turn in turns:
        said = [*turn.prompt, *turn.answer.tokens]
        with torch.inference_mode():
            weights = plain(torch.tensor([said]), output_attentions=True).attentions
        found = turn.diagnostics
        assert (found.top, found.layers) == (24, (0, 1, 2))
        tops = []
        for layer, weight in enumerate(weights):
            weight_GgTT = weight[0].unflatten(0, (2, 2))
            for place, step in enumerate(found.steps):
                row_GgT = weight_GgTT[:, :, len(turn.prompt) - 1 + step]
                held = [t for t in range(len(said)) if t >= 61 or t in kept]
                wanted = row_GgT[..., held].sum(-1).mean(1).tolist()
                assert [head[place] for head in found.mass[layer]] == pytest.approx(wanted, abs=2e-4)
                top = row_GgT.mean(1)[:, :61].topk(24).indices.tolist()
                then = weight_GgTT[:, :, 60].mean(1)[:, :61].topk(24).indices.tolist()
                shared = [len({*a} & {*b}) / 24 for a, b in zip(top, then, strict=True)]
                assert [head[place] for head in found.since_compression[layer]] == pytest.approx(shared, abs=1e-4)
                if before is None:
                    assert found.since_turn_before is None
                else:
                    shared = [len({*a} & {*b}) / 24 for a, b in zip(top, before[layer], strict=True)]
                    assert [h[place] for h in found.since_turn_before[layer]] == pytest.approx(shared, abs=1e-4)
                if step == 0:
                    tops.append(top)
        before = tops


@pytest.mark.parametrize(
    "method", [SnapKV(26, 4, 3), SnapKV(25, 5, 5, "each"), Quest(24, 4, 0), Quest(20, 5, 1, "each"), AShape(5, 17)]
)
@pytest.mark.parametrize("mode", ["multi_turn", "multi_request"])
def test_every_form_says_what_it_reads(method, mode):
    for turn in seen(tiny.model("llama", "eager"), tiny.dialogue(), method, mode):
        mass = numbers(turn.diagnostics.mass)
        assert all(0 < value <= 1.0001 for value in mass)
        assert (min(mass) < 0.999) == (not isinstance(method, AShape))  # which keeps the cache whole


VOCABULARY = 40
NEEDLE, OTHER, FILL = 5, 6, 7


def looking_back():
    """One layer, one head: a token attends to its own kind, wherever it stands."""
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        rope_parameters={"rope_type": "default", "rope_theta": 1e30},
        max_position_embeddings=512,
    )
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        model.model.embed_tokens.weight.zero_()
        for token in range(VOCABULARY):  # channels that rotary positions hardly turn
            model.model.embed_tokens.weight[token, 8 + token if token < 24 else 40 + token - 24] = 1.0
        attention = model.model.layers[0].self_attn
        for part in (attention.q_proj, attention.k_proj, attention.v_proj):
            part.weight.copy_(torch.eye(64) * 2)
    return model


def test_a_needle_that_changes_drives_the_overlap_to_nothing():
    """Turn 1 asks for one kind of token, turn 2 for another, turn 3 for the first again."""
    context = [FILL + n % 9 for n in range(60)]
    for place in range(3):
        context[20 + place], context[40 + place] = NEEDLE, OTHER
    dialogue = Dialogue(
        context=tuple(context),
        opening=((30, 31, 30), (30, OTHER), (30, NEEDLE)),
        followup=((30,), (30, OTHER), (30, NEEDLE)),
        gold=((32,), (32,), (32,)),
        stop=frozenset(),
        protected=(),
    )
    dialogue = replace(dialogue, opening=((30, 31, NEEDLE), *dialogue.opening[1:]))
    first, second, third = seen(looking_back(), dialogue, SnapKV(3, 1, 1), "multi_turn", budget=Budget(3))
    assert first.diagnostics.since_compression[0][0][0] == 1.0
    assert first.diagnostics.mass[0][0][0] == pytest.approx(
        0.75, abs=0.01
    )  # of the needle's four places it keeps three
    assert second.diagnostics.since_compression[0][0][0] == 0.0
    assert second.diagnostics.since_turn_before[0][0][0] == 0.0
    assert second.diagnostics.mass[0][0][0] == pytest.approx(0.25, abs=0.01)  # in its own question
    assert third.diagnostics.since_compression[0][0][0] >= 2 / 3 - 1e-4
    assert third.diagnostics.since_turn_before[0][0][0] == 0.0


def test_a_model_with_states_is_refused_before_anything_is_prefilled():
    decoder, dialogue = engine.decoder(tiny.model("bamba", "eager")), tiny.dialogue()
    jobs = [engine.job(dialogue, "multi_turn", LIMIT), engine.job(dialogue, "multi_turn", LIMIT, query="each")]
    phases = []
    for done in run_session(decoder, jobs, dialogue.stop, CONFIG, lambda *phase: phases.append(phase), 400):
        assert done.failure.outcome is Outcome.ERROR
        assert "needs a model without recurrent states" in done.failure.detail
    assert phases == []
