"""Tiny random-weight models of many architectures, and random dialogues to ask them."""

import copy
import random

import torch
from transformers import (
    AutoModelForCausalLM,
    BambaConfig,
    FalconH1Config,
    FalconMambaConfig,
    Gemma2Config,
    Gemma3TextConfig,
    Glm4Config,
    GptOssConfig,
    GraniteMoeHybridConfig,
    JambaConfig,
    Lfm2Config,
    LlamaConfig,
    Mamba2Config,
    MambaConfig,
    MistralConfig,
    NemotronHConfig,
    OlmoHybridConfig,
    Phi3Config,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
    Qwen3NextConfig,
)

from scbench.prompts.dialogue import Dialogue

VOCABULARY = 151
COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.25,  # large enough that attention is sharp and every token matters
    "pad_token_id": None,  # a padding token's embedding is zero, and all scores of its query tie
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_SLIDING = ["sliding_attention", "full_attention", "sliding_attention"]

CONFIGS = {
    "llama": lambda: LlamaConfig(**COMMON),
    "llama_mha": lambda: LlamaConfig(**{**COMMON, "num_key_value_heads": 4}),
    "llama_mqa": lambda: LlamaConfig(**{**COMMON, "num_key_value_heads": 1}),
    "qwen2": lambda: Qwen2Config(**COMMON),
    "qwen3": lambda: Qwen3Config(**COMMON, head_dim=16),
    "mistral": lambda: MistralConfig(**COMMON, sliding_window=None),
    "mistral_sliding": lambda: MistralConfig(**COMMON, sliding_window=20),
    "gemma3": lambda: Gemma3TextConfig(
        **COMMON, head_dim=16, sliding_window=16, layer_types=_SLIDING, tie_word_embeddings=False
    ),
    "gemma2": lambda: Gemma2Config(
        **COMMON,
        head_dim=16,
        query_pre_attn_scalar=16,
        sliding_window=16,
        layer_types=_SLIDING,
        attn_logit_softcapping=1.5,  # far below the scores, so that it matters
        final_logit_softcapping=20.0,
        tie_word_embeddings=False,
    ),
    "gpt_oss": lambda: GptOssConfig(
        **COMMON,
        head_dim=16,
        sliding_window=16,
        layer_types=_SLIDING,
        num_local_experts=4,
        num_experts_per_tok=2,
        rope_parameters={"rope_type": "default", "rope_theta": 1e4},
    ),
    "glm4": lambda: Glm4Config(**COMMON, head_dim=12),
    "phi3": lambda: Phi3Config(**COMMON),
    "phi3_sliding": lambda: Phi3Config(**COMMON, sliding_window=20),
}


_STATE_ONLY = {
    key: value
    for key, value in COMMON.items()
    if key not in ("intermediate_size", "num_attention_heads", "num_key_value_heads", "max_position_embeddings")
}
_MAMBA = {"mamba_n_heads": 4, "mamba_d_head": 24, "mamba_n_groups": 1, "mamba_d_state": 8, "mamba_chunk_size": 8}
_GATED = {"linear_key_head_dim": 8, "linear_value_head_dim": 8, "num_hidden_layers": 4}

STATES = {  # models with layers that keep a state, most of them with attention in other layers
    "bamba": lambda: BambaConfig(**COMMON, **_MAMBA, attn_layer_indices=[1]),
    "falcon_h1": lambda: FalconH1Config(**COMMON, **_MAMBA, mamba_d_ssm=96),  # both in every layer
    "falcon_mamba": lambda: FalconMambaConfig(**_STATE_ONLY, state_size=8),
    "granite_hybrid": lambda: GraniteMoeHybridConfig(
        **COMMON,
        **_MAMBA,
        layer_types=["mamba", "attention", "mamba"],
        num_local_experts=4,
        num_experts_per_tok=2,
        shared_intermediate_size=32,
    ),
    "jamba": lambda: JambaConfig(
        **{**COMMON, "num_hidden_layers": 4},
        attn_layer_period=2,
        attn_layer_offset=1,
        num_experts=2,
        mamba_d_state=8,
        mamba_dt_rank=4,
        use_mamba_kernels=False,
    ),
    "lfm2": lambda: Lfm2Config(**COMMON, layer_types=["conv", "full_attention", "conv"]),
    "mamba": lambda: MambaConfig(**_STATE_ONLY, state_size=8),
    "mamba2": lambda: Mamba2Config(**_STATE_ONLY, num_heads=4, head_dim=24, n_groups=1, state_size=8, chunk_size=8),
    "nemotron_h": lambda: NemotronHConfig(
        **{key: value for key, value in COMMON.items() if key != "num_hidden_layers"},
        mamba_num_heads=4,
        mamba_head_dim=24,
        n_groups=1,
        ssm_state_size=8,
        chunk_size=8,
        time_step_min=1e-9,  # transformers clamps steps to it when tokens come together, and not when they come alone
        head_dim=12,
        layers_block_type=["mamba", "attention", "mlp", "mamba"],
    ),
    "olmo_hybrid": lambda: OlmoHybridConfig(**{**COMMON, **_GATED}, linear_num_key_heads=2, linear_num_value_heads=2),
    "qwen3_next": lambda: Qwen3NextConfig(
        **{**COMMON, **_GATED},
        linear_num_key_heads=2,
        linear_num_value_heads=4,
        head_dim=16,
        num_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=16,
        shared_expert_intermediate_size=16,
    ),
}


def model(name: str, attention: str) -> PreTrainedModel:
    """The same weights for every `attention` implementation."""
    torch.manual_seed(0)
    config = copy.deepcopy({**CONFIGS, **STATES}[name]())
    built = AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    for parameter, value in built.named_parameters():
        if parameter.endswith("sinks"):
            value.data.add_(4.0)  # as large as the scores, so that they matter
    return built.eval()


def dialogue(seed: int = 0, turns: int = 3, context: int = 61, stretch: int = 1) -> Dialogue:
    """Random tokens with pieces of different lengths; the first four of the context are template tokens.

    `stretch` multiplies the lengths of questions and gold answers.
    """
    rng = random.Random(seed)

    def some(low: int, high: int) -> tuple[int, ...]:
        return tuple(rng.randrange(3, VOCABULARY) for _ in range(rng.randint(low, high)))

    return Dialogue(
        context=some(context, context),
        opening=tuple(some(3 * stretch, 9 * stretch) for _ in range(turns)),
        followup=tuple(some(3 * stretch, 9 * stretch) for _ in range(turns)),
        gold=tuple(some(stretch, 6 * stretch) for _ in range(turns)),
        stop=frozenset({2}),
        protected=((0, 4),),
    )
