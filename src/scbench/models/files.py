"""A model's `config.json`, as far as it is known on this machine: nothing is fetched and nothing is loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scbench.models import embedded
from scbench.models.model import ModelConfig

# What the files of models in other packages will say once they are unpacked; an estimate is wanted before that.
EMBEDDED = {
    "smollm2_135m": {
        "num_hidden_layers": 30,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "vocab_size": 49152,
        "tie_word_embeddings": True,
    }
}


def _dense(layers: int, hidden: int, mlp: int, heads: tuple[int, int], words: int, window: int) -> dict[str, Any]:
    """The sizes in the configuration of a plain transformer; `heads` are query heads and key-value heads."""
    return {
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "intermediate_size": mlp,
        "num_attention_heads": heads[0],
        "num_key_value_heads": heads[1],
        "head_dim": 128,
        "vocab_size": words,
        "tie_word_embeddings": False,
        "max_position_embeddings": window,
    }


# Of the paper's transformers, from their configurations on the hub: a plan tells the price before anything is fetched.
PUBLISHED = {
    "meta-llama/Llama-3.1-8B-Instruct": _dense(32, 4096, 14336, (32, 8), 128256, 131072),
    "meta-llama/Llama-3.1-70B-Instruct": _dense(80, 8192, 28672, (64, 8), 128256, 131072),
    "gradientai/Llama-3-8B-Instruct-262k": _dense(32, 4096, 14336, (32, 8), 128256, 262144),
    "Qwen/Qwen2.5-32B-Instruct": _dense(64, 5120, 27648, (40, 8), 152064, 32768),
    "Qwen/Qwen2.5-72B-Instruct": _dense(80, 8192, 29568, (64, 8), 152064, 32768),
    "zai-org/glm-4-9b-chat-1m-hf": _dense(40, 4096, 13696, (32, 4), 151552, 1048576),
}


def local_config(model: ModelConfig) -> Mapping[str, Any] | None:
    """The parsed `config.json` of an embedded model, of a folder, or of the hub's cache; None if there is none.

    Of some models of the hub the sizes are known before they are fetched.
    """
    folder = embedded.bundled(model.path)
    if folder is None and embedded.is_embedded(model.path):
        return EMBEDDED.get(model.path.removeprefix(embedded.PREFIX))
    file = (folder or Path(model.path)) / "config.json"
    if not file.is_file():
        cached = _in_hub_cache(model)
        if cached is None:
            return PUBLISHED.get(model.path)
        file = cached
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def _in_hub_cache(model: ModelConfig) -> Path | None:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(model.path, "config.json", revision=model.revision)
    except HFValidationError:  # the path of a folder that is not there
        return None
    return Path(cached) if isinstance(cached, str) else None
