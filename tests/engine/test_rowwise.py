"""Feed-forward layers in chunks give what they give at once, and are never given more."""

import pytest
import torch

from oracles import engine, tiny
from scbench.engine import rowwise
from scbench.methods.generation.minference import MInference


@pytest.mark.parametrize("name", ["llama", "gemma3", "glm4", "qwen2"])
def test_the_same_in_parts(name, monkeypatch):
    whole, parted = tiny.model(name, "eager"), tiny.model(name, "eager")
    rowwise.install(parted, 7)
    ids = torch.arange(3, 43)[None]
    with torch.inference_mode():
        torch.testing.assert_close(parted(ids).logits, whole(ids).logits)


def test_a_prompt_that_attention_has_whole_passes_the_mlp_in_chunks(monkeypatch):
    monkeypatch.setattr(rowwise.install, "__defaults__", (16,))
    model, widths = tiny.model("llama", "eager"), []
    for layer in model.model.layers:
        layer.mlp.gate_proj.register_forward_pre_hook(lambda module, given: widths.append(given[0].shape[1]))
    method, dialogue = MInference(9, 7, 6, 2, 3, 4), tiny.dialogue()
    answers = engine.answers(engine.decoder(model), dialogue, "multi_turn", 4, method)
    assert max(widths) == 16
    monkeypatch.undo()
    assert answers == engine.answers(engine.decoder(tiny.model("llama", "eager")), dialogue, "multi_turn", 4, method)
