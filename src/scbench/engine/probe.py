"""What a model's attention looks like from outside: two tokens are sent through it, and every call is looked at.

Nothing here goes by a model's class or name. What would make the engine's attention differ from the model's own is
given as a reason, so that the model can be refused instead of answered for wrongly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import get_layer_types_and_kwargs

# Arguments that the engine honours, and those that change no score
_KNOWN = frozenset({"scaling", "softcap", "s_aux", "sliding_window"})
_HARMLESS = frozenset({"position_ids", "use_cache", "output_attentions", "output_router_logits", "logits_to_keep"})
_ATTENDING = {"full_attention": False, "sliding_attention": True}  # kind of layer -> whether it has a window


@dataclass(frozen=True)
class Shape:
    """What the cache must know of a model: per layer its sliding window (None = full), and the KV heads' size."""

    windows: tuple[int | None, ...]
    kv_heads: int
    head_dim: int
    dtype: torch.dtype
    device: torch.device

    @property
    def layers(self) -> int:
        """How many layers attend."""
        return len(self.windows)

    @property
    def token_bytes(self) -> int:
        """Bytes of keys and values of one token in one layer."""
        return 2 * self.kv_heads * self.head_dim * self.dtype.itemsize


@dataclass(frozen=True)
class _Seen:
    window: int | None
    kv_heads: int
    key_dim: int
    value_dim: int
    dtype: torch.dtype


class Probe:
    """Attention of tokens over themselves alone: their own values, whatever the scores."""

    def __init__(self, config: Any) -> None:
        kinds, _ = get_layer_types_and_kwargs(config)
        self._kinds: list[str] = kinds
        self._seen: dict[int, _Seen] = {}
        self.reasons: list[str] = []  # why the engine cannot run this model, most telling first

    def __call__(
        self, module: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, options: Mapping[str, Any]
    ) -> Tensor:
        """Look at one call of the attention function; the answer has the right size and no meaning."""
        layer: int = module.layer_idx
        if layer in self._seen:
            self._object(f"layer {layer} attends more than once in a pass")
        for reason in objections(module, mask, options):
            self._object(reason)
        window = options.get("sliding_window")
        self._seen[layer] = _Seen(window, k.shape[1], k.shape[-1], v.shape[-1], k.dtype)
        return v.repeat_interleave(q.shape[1] // v.shape[1], dim=1).transpose(1, 2)

    def shape(self, device: torch.device) -> Shape | None:
        """What was seen; None, and at least one reason, if that is nothing for the engine."""
        silent = [layer for layer in range(len(self._kinds)) if layer not in self._seen]
        if silent:
            self._object(f"layers {_short(silent)} do not attend over keys (state-space or linear attention)")
        for layer, seen in sorted(self._seen.items()):
            self._check_kind(layer, seen.window)
        sizes = {(seen.kv_heads, seen.key_dim, seen.value_dim) for seen in self._seen.values()}
        if len(sizes) > 1 or any(key != value for _, key, value in sizes):
            self._object(f"its layers have keys and values of different sizes {sorted(sizes)}")
        if self.reasons:
            return None
        (first, *_) = calls = [self._seen[layer] for layer in sorted(self._seen)]
        return Shape(tuple(call.window for call in calls), first.kv_heads, first.key_dim, first.dtype, device)

    def _check_kind(self, layer: int, window: int | None) -> None:
        """The kind of layer decides the model's own mask, which the engine replaces by causality and the window."""
        kind = self._kinds[layer] if layer < len(self._kinds) else "beyond its configuration"
        if kind not in _ATTENDING:
            self._object(f"layer {layer} is of the kind {kind}")
        elif _ATTENDING[kind] != (window is not None):
            self._object(f"layer {layer} is of the kind {kind} and attends with sliding_window={window}")

    def _object(self, reason: str) -> None:
        if reason not in self.reasons:
            self.reasons.append(reason)


def objections(module: Any, mask: Tensor | None, options: Mapping[str, Any]) -> list[str]:
    """Why the engine's attention would differ from the one that is asked for here."""
    reasons = []
    if mask is not None:
        reasons.append("it gives its attention a mask of its own")
    if getattr(module, "is_causal", True) is False or options.get("is_causal") is False:
        reasons.append("its attention is not causal")
    if options.get("dropout"):
        reasons.append("its attention has dropout")
    ignored = _KNOWN | _HARMLESS | {"is_causal", "dropout"}
    unknown = sorted(name for name, value in options.items() if value is not None and name not in ignored)
    if unknown:
        reasons.append(f"its attention takes what the engine does not know: {', '.join(unknown)}")
    return reasons


def _short(numbers: list[int]) -> str:
    text = ", ".join(map(str, numbers[:4]))
    return f"{text}, …" if len(numbers) > 4 else text
