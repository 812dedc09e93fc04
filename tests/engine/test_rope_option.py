"""`model.rope`: another rotary embedding than the checkpoint's own, such as YaRN."""

import math

import pytest
import torch
from test_exactness import LIMIT, generate, prompts
from transformers import AutoModelForCausalLM, Gemma3TextConfig, Qwen2Config

from oracles import engine, tiny
from scbench.config.compose import compose
from scbench.config.files import ROOT
from scbench.errors import ScbenchError
from scbench.grid.cells import fingerprint
from scbench.models.model import ModelConfig, load, settings, window
from toy_tokenizers import byte_level

CPU = torch.device("cpu")
ORIGINAL, FACTOR = 32, 4.0
YARN = {"rope_type": "yarn", "factor": FACTOR, "original_max_position_embeddings": ORIGINAL}
COMMON = {**tiny.COMMON, "max_position_embeddings": ORIGINAL}
THETA = 1e6


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny Qwen 2.5 whose configuration knows nothing of YaRN."""
    path = tmp_path_factory.mktemp("models") / "qwen2"
    torch.manual_seed(0)
    config = Qwen2Config(**COMMON, rope_parameters={"rope_type": "default", "rope_theta": THETA})
    AutoModelForCausalLM.from_config(config).save_pretrained(path)
    byte_level(["<s>", "</s>"], bos="<s>", eos="</s>").save_pretrained(path)
    return path


def peer(folder):
    """The same weights by transformers alone, in whose configuration YaRN stands."""
    config = Qwen2Config(**COMMON, rope_parameters={**YARN, "rope_theta": THETA})
    return AutoModelForCausalLM.from_pretrained(folder, config=config, dtype=torch.float32).eval()


def angles(model, length=100):
    """The cosines and sines of the first positions."""
    found = [module for name, module in model.named_modules() if name.endswith("rotary_emb")]
    (rotary,) = found
    return torch.stack(rotary(torch.zeros(1, 1, 1), torch.arange(length)[None]))


def test_yarn_is_what_transformers_makes_of_a_configuration_that_has_it(folder):
    loaded = load(ModelConfig(str(folder), window=128, rope=YARN), CPU)
    assert torch.equal(angles(loaded.model), angles(peer(folder)))
    assert loaded.window == 128
    assert loaded.model.config.rope_parameters["rope_theta"] == THETA


def test_yarn_does_what_its_paper_says(folder):
    """arXiv 2309.00071: dimensions that turn often keep their angle, slow ones are stretched by the factor, and the
    attention's temperature is in both cosines and sines."""
    plain, turned = (load(ModelConfig(str(folder), window=128, rope=rope), CPU).model for rope in (None, YARN))
    scale = 0.1 * math.log(FACTOR) + 1
    cos, sin = angles(turned)
    assert torch.allclose(cos[0, 0], torch.full_like(cos[0, 0], scale))
    angle = torch.atan2(sin, cos)[0, 1]
    own = torch.atan2(*angles(plain).flip(0))[0, 1]
    assert angle[0] == pytest.approx(own[0].item(), rel=1e-5)
    assert angle[-1] == pytest.approx(own[-1].item() / FACTOR, rel=1e-5)


def test_answers_equal_generate(folder):
    dialogue, mode = tiny.dialogue(0), "multi_turn"
    reference = peer(folder)
    expected = [generate(reference, prompt, dialogue.stop) for prompt in prompts(dialogue, mode)]
    model = load(ModelConfig(str(folder), window=128, rope=YARN), CPU).model
    assert engine.answers(engine.decoder(model), dialogue, mode, LIMIT) == expected
    plain = load(ModelConfig(str(folder)), CPU).model
    assert engine.answers(engine.decoder(plain), dialogue, mode, LIMIT) != expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rope": YARN}, r"model\.rope: changes how far the model reads; set model\.window too"),
        ({"rope": {"factor": 4.0}, "window": 128}, r"model\.rope: needs rope_type"),
        ({"rope": {"rope_type": "yarm"}, "window": 128}, r"rope_type=yarm: did you mean 'yarn'\?"),
        ({"rope": {"rope_type": "yarn"}, "window": 128}, r"cannot be loaded \(.*factor"),
    ],
)
def test_a_rope_that_cannot_be_is_an_error(folder, options, message):
    with pytest.raises(ScbenchError, match=message):
        settings(ModelConfig(str(folder), **options))


def test_a_model_without_one_rope_for_all_layers_has_none_to_override(tmp_path):
    for config in (Gemma3TextConfig(**tiny.COMMON, head_dim=16), tiny.STATES["mamba2"]()):
        config.save_pretrained(tmp_path)
        with pytest.raises(ScbenchError, match=r"has not one rotary embedding for all its layers"):
            settings(ModelConfig(str(tmp_path), window=128, rope=YARN))


def test_a_configuration_without_a_window_is_an_error(tmp_path):
    tiny.STATES["mamba2"]().save_pretrained(tmp_path)
    with pytest.raises(ScbenchError, match=r"names no context window; set model\.window"):
        window(ModelConfig(str(tmp_path)))
    assert window(ModelConfig(str(tmp_path), window=77)) == 77


def test_rope_is_part_of_the_fingerprint_and_an_override_changes_its_parts():
    overrides = ["model=qwen2_5_72b,qwen2_5_72b_yarn", "model.qwen2_5_72b_yarn.rope={factor:4.0},{factor:8.0}"]
    plain, four, eight = compose(overrides, ROOT / "conf").cells
    assert plain.model.options["rope"] is None
    assert four.model.options["rope"] == {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
    assert eight.model.options["rope"] == {**four.model.options["rope"], "factor": 8.0}
    assert eight.model.build().rope == eight.model.options["rope"]
    assert len({fingerprint(cell, {}) for cell in (plain, four, eight)}) == 3
