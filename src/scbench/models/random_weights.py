"""Small models of an architecture with random weights, and the embedded SmolLM2's tokenizer.

They answer nonsense, but run everything that a real model of their kind runs, on machines without a model hub. They
are made once, in the cache folder.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scbench.errors import ScbenchError
from scbench.models import embedded
from scbench.models.cache import cache_folder

if TYPE_CHECKING:
    from transformers import PretrainedConfig

PREFIX = "random:"
TOKENIZER = f"{embedded.PREFIX}smollm2_135m"
VERSION = 1  # raise when the weights below change
SEED = 0
_SIZES: dict[str, Any] = {"vocab_size": 49152, "hidden_size": 64, "bos_token_id": 1, "eos_token_id": 2}


def _mamba2() -> PretrainedConfig:
    from transformers import Mamba2Config

    return Mamba2Config(
        **_SIZES, num_hidden_layers=2, num_heads=8, head_dim=16, n_groups=1, state_size=16, chunk_size=64
    )


def _jamba() -> PretrainedConfig:
    from transformers import JambaConfig

    return JambaConfig(
        **_SIZES,
        num_hidden_layers=4,
        intermediate_size=128,
        num_attention_heads=4,
        num_key_value_heads=2,
        attn_layer_period=4,
        attn_layer_offset=2,
        num_experts=2,
        num_experts_per_tok=1,
        mamba_d_state=8,
        mamba_dt_rank=4,
        use_mamba_kernels=False,
        max_position_embeddings=32768,
    )


MADE = {"mamba2": _mamba2, "jamba": _jamba}


def is_random(path: str) -> bool:
    """Whether a model path names one of these."""
    return path.startswith(PREFIX)


def identity(path: str) -> dict[str, str]:
    """Its name, seed and version, and the tokenizer's identity."""
    return {"random": _name(path), "seed": str(SEED), "version": str(VERSION), **embedded.identity(TOKENIZER)}


def ensure(path: str) -> Path:
    """The folder with the model as safetensors and its tokenizer; made the first time."""
    target = cache_folder() / "models" / f"random-{_name(path)}-{SEED}-{VERSION}"
    if target.exists():
        return target
    tokenizer = embedded.ensure(TOKENIZER)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{_name(path)}-") as scratch:
        made = Path(scratch) / "made"
        _make(_name(path), tokenizer, made)
        try:
            made.rename(target)
        except OSError:  # another process finished first; its result is the same
            if not target.exists():
                raise
    return target


def _name(path: str) -> str:
    name = path.removeprefix(PREFIX)
    if name not in MADE:
        raise ScbenchError(f"model.path={path}: no such architecture; there are: {', '.join(sorted(MADE))}")
    return name


def _make(name: str, tokenizer: Path, target: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = AutoModelForCausalLM.from_config(MADE[name](), dtype=torch.float32)
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(tokenizer).save_pretrained(target)
