"""Kinds of model that conf/model lists and `oracles.tiny` has not: loaded from a folder, dense equals generate."""

import pytest
import torch
from test_exactness import LIMIT, generate, prompts
from transformers import AutoModelForCausalLM, Gemma3Config, GlmConfig, GptOssConfig, Qwen3MoeConfig

from oracles import engine, tiny
from scbench.models.model import ModelConfig, load
from toy_tokenizers import byte_level

SLIDING = ["sliding_attention", "full_attention", "sliding_attention"]
CONFIGS = {
    "glm4_9b_1m": lambda: GlmConfig(**tiny.COMMON, head_dim=12),
    "qwen3_30b_a3b_2507": lambda: Qwen3MoeConfig(
        **tiny.COMMON, head_dim=16, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16
    ),
    "gemma3_4b": lambda: Gemma3Config(  # it can see: the language model is a part of it
        text_config={
            **tiny.COMMON,
            "head_dim": 16,
            "sliding_window": 16,
            "layer_types": SLIDING,
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
                "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
            },
        },
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 28,
            "patch_size": 14,
        },
        mm_tokens_per_image=4,
        boi_token_index=148,
        eoi_token_index=149,
        image_token_index=150,
        eos_token_id=2,
    ),
    "gpt_oss_20b": lambda: GptOssConfig(
        **tiny.COMMON,
        head_dim=16,
        sliding_window=16,
        layer_types=SLIDING,
        num_local_experts=4,
        num_experts_per_tok=2,
        rope_parameters={
            "rope_type": "yarn",
            "rope_theta": 150_000,
            "factor": 32.0,
            "beta_fast": 32.0,
            "beta_slow": 1.0,
            "truncate": False,
            "original_max_position_embeddings": 16,
        },
    ),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_dense_equals_generate(name, tmp_path):
    torch.manual_seed(0)
    made = AutoModelForCausalLM.from_config(CONFIGS[name]())
    for parameter, value in made.named_parameters():
        if parameter.endswith("sinks"):
            value.data.add_(4.0)  # as large as the scores, so that they matter
    made.save_pretrained(tmp_path)
    byte_level(["<s>", "</s>"], bos="<s>", eos="</s>").save_pretrained(tmp_path)
    loaded = load(ModelConfig(str(tmp_path)), torch.device("cpu"))
    assert loaded.window == 512
    dialogue = tiny.dialogue(0)
    expected = [generate(made.eval(), prompt, dialogue.stop) for prompt in prompts(dialogue, "multi_turn")]
    assert len({tuple(answer) for answer in expected}) > 1
    assert engine.answers(engine.decoder(loaded.model), dialogue, "multi_turn", LIMIT) == expected
