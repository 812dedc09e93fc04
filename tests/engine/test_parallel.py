"""A model spread over several devices answers as on one, and no tensor meets another device's."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from oracles import engine, pretended, sample_methods, tiny
from oracles.method_pairs import METHODS
from scbench.engine.answer import Deadline
from scbench.engine.config import EngineConfig
from scbench.engine.session import run_session
from scbench.errors import ScbenchError
from scbench.methods.retrieval.cacheblend import CacheBlend
from scbench.models import model as models
from scbench.models.model import ModelConfig
from scbench.models.placement import device_map, join

LIMIT = 5
DIALOGUE = tiny.dialogue()
MODES = pytest.mark.parametrize("mode", ["multi_turn", pytest.param("multi_request", marks=pytest.mark.slow)])
# one of each kind of attention; a state in other layers, in the same, and alone; experts
SOME = ["llama", "gemma2", "gpt_oss", "phi3_sliding", "jamba", "falcon_h1", "mamba2"]
OTHERS = sorted({*tiny.CONFIGS, *tiny.STATES} - {*SOME})
MODELS = [*SOME, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)]


@pytest.fixture(autouse=True)
def machine():
    with pretended.devices() as made:
        yield made


def decoder(name="llama", count=2):
    """The engine over a tiny model on so many devices, or on the CPU."""
    model = tiny.model(name, "eager")
    if count:
        placed = device_map(model, [pretended.device(number) for number in range(count)])
        for part, device in placed.items():
            model.get_submodule(part).to(device)
        join(model, placed)
    return engine.decoder(model)


def everywhere(what, name="llama", counts=(0, 2)):
    """What `what` gives for a decoder on the CPU, and for one over devices."""
    return [what(decoder(name, count)) for count in counts]


@pytest.mark.parametrize("name", MODELS)
@MODES
def test_a_spread_model_answers_as_on_one_device(name, mode):
    one, two = everywhere(lambda spread: engine.answers(spread, DIALOGUE, mode, LIMIT), name)
    assert one == two


@pytest.mark.parametrize("name", sorted(METHODS))
@MODES
def test_every_method_answers_as_on_one_device(name, mode):
    one, two = everywhere(lambda spread: engine.answers(spread, DIALOGUE, mode, LIMIT, METHODS[name][0]))
    assert one == two


@pytest.mark.parametrize(
    "options",
    [
        {"history": "generated"},
        {"compress": "each"},
        {"compress": "isolated"},
        {"query": "each"},
        {"query": "free"},
    ],
    ids=str,
)
def test_whenever_a_method_acts_it_answers_as_on_one_device(options):
    longer = tiny.dialogue(stretch=5)

    def answers(spread):
        return engine.answers(spread, longer, "multi_turn", LIMIT, METHODS["snapkv"][0], **options)

    one, two = everywhere(answers)
    assert one == two


@pytest.mark.parametrize("method", [sample_methods.Pieces(), sample_methods.Blending(), CacheBlend()], ids=repr)
@pytest.mark.parametrize("name", ["llama", "phi3_sliding"])
def test_a_cache_put_together_is_that_of_one_device(method, name):
    one, two = everywhere(lambda spread: engine.answers(spread, DIALOGUE, "multi_request", LIMIT, method), name)
    assert one == two


@pytest.mark.parametrize("name", ["llama", "gemma3"])
def test_branches_of_many_methods_leave_one_batch_as_on_one_device(name):
    said = engine.answers(decoder(name, 0), DIALOGUE, "multi_turn", LIMIT)
    stop = frozenset({said[0][2], said[1][3]})
    jobs = [
        engine.job(DIALOGUE, mode, LIMIT, METHODS[method][0], name=f"{mode} {method}")
        for mode in ("multi_turn", "multi_request")
        for method in ("streaming_llm", "quest", "kivi")
    ]

    def answers(spread):
        done = engine.run(spread, jobs, stop, batch="family")
        return {cell: [turn.answer.tokens for turn in turns] for cell, turns in done.items()}

    one, two = everywhere(answers, name)
    assert len({len(answer) for given in one.values() for answer in given}) > 2
    assert one == two


def test_likelihoods_and_diagnostics_are_the_same_to_the_last_bit():
    jobs = [
        engine.job(
            *(DIALOGUE, "multi_turn", LIMIT, METHODS[name][0] if name else None),
            name=name,
            measured=True,
            places=((((10, 14),),),) * len(DIALOGUE.gold),
        )
        for name in ("", "snapkv", "quest")
    ]
    config = EngineConfig(fidelity="kl", diagnostics="attention")

    def seen(spread):
        done = list(run_session(spread, jobs, DIALOGUE.stop, config, lambda *_: None, 250))
        assert all(one.failure is None for one in done), [one.failure for one in done]
        return [(turn.fidelity, turn.diagnostics, turn.gold_kept) for one in done for turn in one.turns]

    one, two, three = everywhere(seen, counts=(1, 2, 3))
    assert len(one) == 9
    assert one == two == three


def test_surprisal_is_that_of_one_device():
    with torch.inference_mode():
        one, two = everywhere(lambda spread: spread.surprisal(DIALOGUE.context, Deadline(None)).tolist(), counts=(1, 2))
    assert one == two


def test_only_hidden_states_and_positions_cross_the_borders(machine):
    """One border in the middle and one at the end; keys, values and states stay where they are."""
    spread = decoder()
    assert spread.adapter.shape.devices == (pretended.device(0), pretended.device(1))
    assert spread.adapter.shape.homes == (pretended.device(0), pretended.device(1), pretended.device(1))
    ids = torch.arange(3, 20, device=pretended.device(0))[None]
    before = machine.crossed
    spread.adapter.predict(ids, torch.arange(17, device=ids.device)[None], lambda _, q, *__: q.transpose(1, 2), None, 1)
    hidden, angles, positions = 17 * 48 * 4, 2 * 17 * 12 * 4, 17 * 8
    assert machine.crossed - before == 2 * hidden + 2 * angles + 2 * positions  # two layers are over there


def test_layers_are_laid_in_stretches_and_the_rest_on_the_first_device():
    devices = [pretended.device(number) for number in range(3)]
    config = tiny.CONFIGS["llama"]()
    config.num_hidden_layers = 8
    with torch.device("meta"):
        placed = device_map(AutoModelForCausalLM.from_config(config), devices)
    assert [placed[f"model.layers.{layer}"].index for layer in range(8)] == [0, 0, 1, 1, 1, 2, 2, 2]
    others = {name: device.index for name, device in placed.items() if ".layers." not in name}
    assert others == {"model.embed_tokens": 0, "model.norm": 0, "model.rotary_emb": 0, "lm_head": 0}


def test_more_devices_than_layers_are_refused():
    with pytest.raises(ScbenchError, match=r"^model\.parallel=4: the model has 3 layers, so take at most 3 devices$"):
        decoder(count=4)


@pytest.mark.parametrize("tied", [False, True])
def test_weights_are_loaded_to_where_they_belong(tied, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DEACTIVATE_ASYNC_LOAD", "1")  # the pretence holds in one thread
    monkeypatch.setattr(models, "load_tokenizer", lambda _: None)
    config = tiny.CONFIGS["llama"]()
    config.tie_word_embeddings = tied
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    where = [pretended.device(0), pretended.device(1)]
    one, two = (models.load(ModelConfig(str(tmp_path)), *some).model for some in (where[:1], where))
    assert {weight.device for weight in one.parameters()} == {where[0]}
    assert {weight.device for weight in two.model.layers[0].parameters()} == {where[0]}
    assert {weight.device for weight in two.model.layers[1:].parameters()} == {where[1]}
    assert (two.lm_head.weight is two.model.embed_tokens.weight) == tied
    answers = [engine.answers(engine.decoder(model), DIALOGUE, "multi_turn", LIMIT) for model in (one, two)]
    assert answers[0] == answers[1]


def test_pretended_devices_refuse_what_gpus_refuse():
    here, there = (torch.ones(3, device=pretended.device(number)) for number in (0, 1))
    with pytest.raises(pretended.MixedDevicesError):
        here + there
    with pytest.raises(pretended.MixedDevicesError):
        here[torch.tensor([0], device=pretended.device(1))]
    with pytest.raises(pretended.MixedDevicesError):
        here + torch.ones(3)
    assert (here + there.to(here.device) + torch.tensor(1.0))[torch.tensor([0])].tolist() == [3.0]
