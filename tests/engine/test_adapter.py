"""The seam to transformers: what it sees of a model, and which models it refuses, by name and reason."""

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BloomConfig,
    DeepseekV3Config,
    DiffLlamaConfig,
    Gemma3nTextConfig,
    Llama4TextConfig,
    LlamaConfig,
    MiniMaxConfig,
    NemotronConfig,
    RecurrentGemmaConfig,
)
from transformers.models.llama import modeling_llama

from oracles import tiny
from scbench.engine.adapter import Adapter
from scbench.errors import ScbenchError

SMALL = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
}


def build(config):
    return AutoModelForCausalLM.from_config(config).eval()


@pytest.mark.parametrize(
    ("name", "windows", "kv_heads", "head_dim"),
    [
        ("llama", (None, None, None), 2, 12),
        ("llama_mqa", (None, None, None), 1, 12),
        ("mistral_sliding", (20, 20, 20), 2, 12),
        ("gemma3", (16, None, 16), 2, 16),
        ("qwen3", (None, None, None), 2, 16),
        ("gemma2", (16, None, 16), 2, 16),
        ("gpt_oss", (16, None, 16), 2, 16),
    ],
)
def test_the_probe_sees_windows_and_sizes(name, windows, kv_heads, head_dim):
    shape = Adapter(tiny.model(name, "eager")).shape
    assert (shape.windows, shape.kv_heads, shape.head_dim) == (windows, kv_heads, head_dim)
    assert shape.token_bytes == 2 * kv_heads * head_dim * 4


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (lambda: BloomConfig(vocab_size=64, hidden_size=32, n_layer=2, n_head=4), "layers 0, 1 do not attend"),
        (lambda: RecurrentGemmaConfig(**SMALL, lru_width=32, head_dim=8), "layers 0, 1 keep no state"),
        (lambda: MiniMaxConfig(**SMALL, head_dim=8, num_local_experts=2), "it asks its cache for get_linear_cache"),
        (
            lambda: Gemma3nTextConfig(
                **{**SMALL, "num_hidden_layers": 4}, head_dim=8, num_kv_shared_layers=2, vocab_size_per_layer_input=64,
                layer_types=["sliding_attention", "full_attention"] * 2, activation_sparsity_pattern=None,
            ),
            "its layers share keys and values",
        ),
        (lambda: NemotronConfig(**SMALL), "does not hand keyword arguments down to its attention"),
        (lambda: DiffLlamaConfig(**SMALL), "layer 0 attends more than once in a pass"),
        (lambda: BertConfig(**SMALL, is_decoder=False), "its attention is not causal"),
        (
            lambda: Llama4TextConfig(
                **SMALL, head_dim=8, attention_chunk_size=16, num_local_experts=2, intermediate_size_mlp=32
            ),
            "layers 0, 1 are of the kind chunked_attention",
        ),
        (
            lambda: DeepseekV3Config(
                **{**SMALL, "num_key_value_heads": 4},
                kv_lora_rank=8, q_lora_rank=8, qk_rope_head_dim=4, qk_nope_head_dim=8, v_head_dim=6,
                n_routed_experts=2, n_group=1, topk_group=1, num_experts_per_tok=1, moe_intermediate_size=8,
                first_k_dense_replace=2,
            ),
            "it has latent attention",
        ),
    ],
    ids=["bloom", "own_state", "own_cache", "shared_kv", "no_arguments", "twice", "not_causal", "chunked", "latent"],
)  # fmt: skip
def test_unsupported_models_are_refused_with_the_reason(config, reason):
    model = build(config())
    model.config.name_or_path = "some/model"
    with pytest.raises(ScbenchError, match=rf"model some/model cannot run on engine=own: .*{reason}"):
        Adapter(model)


def test_what_changes_scores_and_is_unknown_is_refused_by_name(monkeypatch):
    """As `inkling` does it: an argument of the attention function that no part of the engine has heard of."""
    plain = modeling_llama.ALL_ATTENTION_FUNCTIONS.get_interface

    def biased(*args):
        attend = plain(*args)
        return lambda *a, **options: attend(*a, position_bias=torch.zeros(1), extra=None, **options)

    monkeypatch.setattr(modeling_llama.ALL_ATTENTION_FUNCTIONS, "get_interface", biased)
    with pytest.raises(ScbenchError, match="its attention takes what the engine does not know: position_bias"):
        Adapter(build(LlamaConfig(**SMALL)))


def test_a_mask_of_the_models_own_is_refused(monkeypatch):
    monkeypatch.setattr(modeling_llama, "create_causal_mask", lambda **_: torch.zeros(1, 1, 2, 2))
    with pytest.raises(ScbenchError, match="it gives its attention a mask of its own"):
        Adapter(build(LlamaConfig(**SMALL)))


def test_a_mask_that_appears_later_is_an_error(monkeypatch):
    adapter = Adapter(build(LlamaConfig(**SMALL)))
    monkeypatch.setattr(modeling_llama, "create_causal_mask", lambda **_: torch.zeros(1, 1, 2, 2))
    ids = torch.arange(2)[None]
    with pytest.raises(RuntimeError, match="layer 0: it gives its attention a mask of its own"):
        adapter.forward(ids, ids, lambda layer, q, k, v, call: q.transpose(1, 2))


def test_a_call_outside_the_engine_is_an_error_not_a_wrong_answer():
    model = tiny.model("llama", "eager")
    Adapter(model)
    with pytest.raises(RuntimeError, match="called outside the engine"):
        model(input_ids=torch.tensor([[1, 2]]))


def test_only_one_row_of_logits_is_computed():
    """A prefill must not spend memory on logits that nobody reads."""
    model = tiny.model("llama", "eager")
    adapter = Adapter(model)
    seen = []
    model.lm_head.register_forward_hook(lambda module, args, output: seen.append(output.shape))
    ids = torch.arange(10)[None]

    def attend(layer, q, k, v, scale):
        return q.transpose(1, 2)

    assert adapter.forward(ids, ids, attend).shape == (1, tiny.VOCABULARY)
    assert seen == [(1, 1, tiny.VOCABULARY)]
