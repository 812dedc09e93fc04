"""The tiny models' configurations, all of transformers' own classes and one width."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PretrainedConfig

WINDOW = 8192
_WIDTH = 192
_ATTENTION: dict[str, Any] = {"num_attention_heads": 4, "num_key_value_heads": 2}
_ROPE = {"rope_type": "default", "rope_theta": 1e8}
_COMMON: dict[str, Any] = {
    "hidden_size": _WIDTH,
    "tie_word_embeddings": True,
    "use_cache": True,
    "initializer_range": 0.06,  # transformers' 0.02 is for greater widths, and learns later
}


def _llama(**tokens: int) -> PretrainedConfig:
    from transformers import LlamaConfig

    return LlamaConfig(
        **_COMMON,
        **_ATTENTION,
        **tokens,
        num_hidden_layers=5,
        head_dim=64,
        intermediate_size=_WIDTH,
        max_position_embeddings=WINDOW,
        rope_parameters=_ROPE,
        attention_bias=True,
    )


def _bamba(layers: int, attention: list[int], tokens: Mapping[str, int]) -> PretrainedConfig:
    from transformers import BambaConfig

    return BambaConfig(
        **_COMMON,
        **_ATTENTION,
        **tokens,
        num_hidden_layers=layers,
        attn_layer_indices=attention,
        intermediate_size=2 * _WIDTH,
        max_position_embeddings=WINDOW,
        rope_parameters={**_ROPE, "partial_rotary_factor": 0.5},
        mamba_proj_bias=True,
        mamba_n_heads=2 * _WIDTH // 32,
        mamba_d_head=32,
        mamba_d_state=32,
        mamba_chunk_size=64,
    )


def _hybrid(**tokens: int) -> PretrainedConfig:
    return _bamba(4, [2], tokens)


def _hybrid_1to7(**tokens: int) -> PretrainedConfig:
    return _bamba(8, [5], tokens)


def _mamba2(**tokens: int) -> PretrainedConfig:
    from transformers import Mamba2Config

    return Mamba2Config(
        **_COMMON,
        **tokens,
        num_hidden_layers=6,
        num_heads=2 * _WIDTH // 32,
        head_dim=32,
        n_groups=1,
        use_bias=True,
        state_size=64,
        chunk_size=64,
    )


ARCHITECTURES: Mapping[str, Callable[..., PretrainedConfig]] = {
    "tiny-llama": _llama,
    "tiny-hybrid": _hybrid,
    "tiny-hybrid-1to7": _hybrid_1to7,
    "tiny-mamba2": _mamba2,
}
