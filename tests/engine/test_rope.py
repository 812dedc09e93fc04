"""RoPE that moves with the longest position: chunks, branches and answers agree with one pass over the whole."""

import pytest
import torch
from test_exactness import LIMIT, generate, prompts
from transformers import AutoModelForCausalLM, Gemma3TextConfig, LlamaConfig, Phi3Config, PhimoeConfig

from oracles import engine, tiny
from scbench.engine.answer import Deadline
from scbench.engine.trunk import Trunk
from scbench.errors import ScbenchError

ORIGINAL = 64
SHORT, LONGER = [1.0 + 0.1 * i for i in range(6)], [2.0 + 0.7 * i for i in range(6)]
LONG = {
    "rope_type": "longrope",
    "rope_theta": 1e4,
    "short_factor": SHORT,
    "long_factor": LONGER,
    "original_max_position_embeddings": ORIGINAL,
}
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0}
PLAIN = {"rope_type": "default", "rope_theta": 1e4}
SMALL = {**tiny.COMMON, "max_position_embeddings": ORIGINAL}
CONFIGS = {
    "longrope": lambda: Phi3Config(**tiny.COMMON, original_max_position_embeddings=ORIGINAL, rope_parameters=LONG),
    "longrope_mscale": lambda: PhimoeConfig(
        **{**tiny.COMMON, "num_hidden_layers": 2},
        num_local_experts=2,
        num_experts_per_tok=1,
        sliding_window=None,
        rope_parameters={**LONG, "short_mscale": 1.0, "long_mscale": 1.3},
    ),
    "dynamic": lambda: LlamaConfig(**SMALL, rope_parameters=DYNAMIC),
    "one_kind_per_layer": lambda: Gemma3TextConfig(
        **SMALL,
        head_dim=12,
        sliding_window=16,
        layer_types=["sliding_attention", "full_attention", "full_attention"],
        rope_parameters={"sliding_attention": PLAIN, "full_attention": DYNAMIC},
    ),
}
NAMES = pytest.mark.parametrize("name", sorted(CONFIGS))


def build(name):
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(CONFIGS[name](), attn_implementation="eager").eval()


def whole(name, ids):
    with torch.inference_mode():
        return build(name)(input_ids=torch.tensor([ids])).logits[0, -1]


def chunked(decoder, ids, longest):
    if longest is not None:
        decoder.adapter.prepare(longest)
    trunk = Trunk.empty(decoder.adapter.shape)
    with torch.inference_mode():
        decoder.extend(trunk, ids, len(ids), Deadline(None), lambda *_: None)
    return trunk.logits[len(ids)]


@NAMES
@pytest.mark.parametrize("length", [50, ORIGINAL, ORIGINAL + 1, 150])
def test_chunks_equal_the_whole(name, length):
    ids = torch.randint(3, tiny.VOCABULARY, (length,), generator=torch.Generator().manual_seed(1)).tolist()
    logits = chunked(engine.decoder(build(name), chunk=16), ids, length)
    torch.testing.assert_close(logits, whole(name, ids), atol=1e-4, rtol=1e-4)


@NAMES
def test_the_length_matters(name):
    """Without this the comparison above could not fail."""
    ids = list(range(3, 53))
    decoder = engine.decoder(build(name), chunk=16)
    assert (chunked(decoder, ids, 200) - whole(name, ids)).abs().max() > 1e-2


@NAMES
def test_a_shorter_session_after_a_longer_one(name):
    ids, decoder = list(range(3, 53)), engine.decoder(build(name), chunk=16)
    first = chunked(decoder, ids, 50)
    chunked(decoder, ids * 3, 150)
    assert torch.equal(chunked(decoder, ids, 50), first)
    between = chunked(decoder, ids * 2, 100)
    chunked(decoder, ids * 3, 150)
    assert torch.equal(chunked(decoder, ids * 2, 100), between)


@pytest.mark.parametrize("mode", ["multi_turn", "multi_request"])
def test_answers_equal_generate(mode):
    """Every prompt is longer than the original length, so transformers computes each with the long factors."""
    dialogue, reference = tiny.dialogue(context=80), build("longrope")
    expected = [generate(reference, prompt, dialogue.stop) for prompt in prompts(dialogue, mode)]
    decoder = engine.decoder(build("longrope"))
    decoder.adapter.prepare(200)
    assert engine.answers(decoder, dialogue, mode, LIMIT) == expected


def test_unprepared_is_an_error_and_so_is_a_position_beyond():
    decoder = engine.decoder(build("dynamic"))
    with pytest.raises(RuntimeError, match="must be prepared for a length"):
        chunked(decoder, list(range(3, 53)), None)
    with pytest.raises(RuntimeError, match="a position at or after 50"):
        chunked(decoder, list(range(3, 54)), 50)


def test_moving_in_an_unknown_way_is_refused():
    model = build("longrope")
    for module in model.modules():
        if hasattr(module, "rope_type"):
            del module.rope_type
    with pytest.raises(ScbenchError, match=r"its RoPE factors move .* not in a known way \(longrope\)"):
        engine.decoder(model)


def test_other_models_do_not_mind():
    decoder = engine.decoder(tiny.model("llama", "eager"))
    before = chunked(decoder, list(range(3, 53)), 50)
    assert torch.equal(chunked(decoder, list(range(3, 53)), 5), before)
