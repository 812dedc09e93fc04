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


def local_config(model: ModelConfig) -> Mapping[str, Any] | None:
    """The parsed `config.json` of an embedded model, of a folder, or of the hub's cache; None if there is none."""
    folder = embedded.bundled(model.path)
    if folder is None and embedded.is_embedded(model.path):
        return EMBEDDED.get(model.path.removeprefix(embedded.PREFIX))
    file = (folder or Path(model.path)) / "config.json"
    if not file.is_file():
        cached = _in_hub_cache(model)
        if cached is None:
            return None
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
