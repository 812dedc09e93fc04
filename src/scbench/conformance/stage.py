"""Where methods are tried: tiny models with random weights, and random dialogues."""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
from transformers import (
    AutoModelForCausalLM,
    BambaConfig,
    Gemma3TextConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedConfig,
    PreTrainedModel,
)

from scbench.prompts.dialogue import Dialogue

VOCABULARY = 151
_COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.25,  # large enough that attention is sharp and every token matters
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_HYBRID = {"mamba_n_heads": 4, "mamba_d_head": 24, "mamba_n_groups": 1, "mamba_d_state": 8, "mamba_chunk_size": 8}
_KINDS = ["sliding_attention", "full_attention", "sliding_attention"]

MODELS: dict[str, Callable[[], PreTrainedConfig]] = {
    "grouped-query": lambda: LlamaConfig(**_COMMON),
    "multi-head": lambda: LlamaConfig(**{**_COMMON, "num_key_value_heads": 4}),
    "multi-query": lambda: LlamaConfig(**{**_COMMON, "num_key_value_heads": 1}),
    "sliding-window": lambda: Gemma3TextConfig(**_COMMON, head_dim=16, sliding_window=16, layer_types=_KINDS),
    "sliding-window-only": lambda: MistralConfig(**_COMMON, sliding_window=20),
    "hybrid": lambda: BambaConfig(**_COMMON, **_HYBRID, attn_layer_indices=[1]),
}


def model(name: str, attention: str = "eager") -> PreTrainedModel:
    """A model of this kind, with the same weights every time."""
    state = torch.random.get_rng_state()
    torch.manual_seed(0)
    built: PreTrainedModel = AutoModelForCausalLM.from_config(MODELS[name](), attn_implementation=attention).eval()
    torch.random.set_rng_state(state)
    return built


def dialogue(context: int, turns: int = 3, seed: int = 0, stretch: int = 1) -> Dialogue:
    """Random tokens; questions and gold answers have different lengths, and the first four tokens are a template's.

    `stretch` multiplies the lengths of questions and gold answers.
    """
    source = random.Random(f"{context}/{seed}")

    def some(low: int, high: int) -> tuple[int, ...]:
        return tuple(source.randrange(3, VOCABULARY) for _ in range(source.randint(low, high)))

    return Dialogue(
        context=some(context, context),
        opening=tuple(some(3 * stretch, 9 * stretch) for _ in range(turns)),
        followup=tuple(some(3 * stretch, 9 * stretch) for _ in range(turns)),
        gold=tuple(some(stretch, 6 * stretch) for _ in range(turns)),
        stop=frozenset({2}),
        protected=((0, min(4, context)),),
    )
