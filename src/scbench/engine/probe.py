"""What a model's attention looks like from outside: two tokens are sent through it, and every call is looked at.

Nothing here goes by a model's class or name. What would make the engine's attention differ from the model's own is
given as a reason, so that the model can be refused instead of answered for wrongly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import get_layer_types_and_kwargs

# Arguments that the engine honours, those that are looked at, and those that change no score
_KNOWN = frozenset({"scaling", "softcap", "s_aux", "sliding_window"})
_CHECKED = frozenset({"is_causal", "dropout"})
_HARMLESS = frozenset({"position_ids", "use_cache", "output_attentions", "output_router_logits", "logits_to_keep"})
_EXPECTED = _KNOWN | _CHECKED | _HARMLESS


@dataclass(frozen=True)
class _Kind:
    """What a layer of a kind does; `dummy` is transformers' word for one that looks at its own token only."""

    attends: bool = False
    slides: bool = False
    remembers: bool = False


_KINDS = {
    "full_attention": _Kind(attends=True),
    "sliding_attention": _Kind(attends=True, slides=True),
    "linear_attention": _Kind(remembers=True),
    "conv": _Kind(remembers=True),
    "hybrid": _Kind(attends=True, remembers=True),
    "hybrid_sliding": _Kind(attends=True, slides=True, remembers=True),
    "dummy": _Kind(),
}


@dataclass(frozen=True)
class Shape:
    """What the cache must know of a model: per layer its sliding window (None = full), and the KV heads' size.

    Only layers that attend over keys count as layers, and are numbered from 0 without gaps; `attending` are their
    numbers in the model. `states` are the model's numbers of the layers that keep a recurrent state (a layer can do
    both). If `single`, such a layer forgets its state when it is given several tokens behind it. `devices` are those
    that hold a part of the model, and `homes` each layer's; tokens go in, and predictions come out, on the first.
    """

    windows: tuple[int | None, ...]
    kv_heads: int
    query_heads: int
    head_dim: int
    dtype: torch.dtype
    devices: tuple[torch.device, ...]
    homes: tuple[torch.device, ...]
    attending: tuple[int, ...]
    states: tuple[int, ...] = ()
    single: bool = False

    @property
    def device(self) -> torch.device:
        """Where tokens go in and predictions come out."""
        return self.devices[0]

    @property
    def group(self) -> int:
        """How many query heads share a KV head."""
        return self.query_heads // self.kv_heads if self.kv_heads else 1

    @property
    def layers(self) -> int:
        """How many layers attend."""
        return len(self.windows)

    @property
    def token_bytes(self) -> int:
        """Bytes of keys and values of one token in one layer."""
        return 2 * self.kv_heads * self.head_dim * self.dtype.itemsize


def attention_of(config: Any) -> tuple[int, int]:
    """How many layers attend over keys by a model's configuration, and with how many query heads each."""
    kinds, _ = get_layer_types_and_kwargs(config)
    return sum(_KINDS.get(kind, _Kind()).attends for kind in kinds), getattr(config, "num_attention_heads", 0)


@dataclass(frozen=True)
class _Seen:
    window: int | None
    kv_heads: int
    query_heads: int
    key_dim: int
    value_dim: int
    dtype: torch.dtype
    device: torch.device


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
        self._seen[layer] = _Seen(window, k.shape[1], q.shape[1], k.shape[-1], v.shape[-1], k.dtype, k.device)
        return v.repeat_interleave(q.shape[1] // v.shape[1], dim=1).transpose(1, 2)

    @property
    def remembers(self) -> bool:
        """Whether some layer should keep a state."""
        return any(_KINDS.get(kind, _Kind()).remembers for kind in self._kinds)

    def shape(self, devices: Sequence[torch.device], dtype: torch.dtype, states: frozenset[int]) -> Shape | None:
        """What was seen, and in which layers states were left; None, and at least one reason, if it is not for us."""
        self._check_kinds(states)
        sizes = {(seen.kv_heads, seen.key_dim, seen.value_dim) for seen in self._seen.values()}
        if len(sizes) > 1 or any(key != value for _, key, value in sizes):
            self._object(f"its layers have keys and values of different sizes {sorted(sizes)}")
        if self.reasons:
            return None
        attending = tuple(sorted(self._seen))
        calls = [self._seen[layer] for layer in attending]
        first = calls[0] if calls else _Seen(None, 0, 0, 0, 0, dtype, devices[0])
        return Shape(
            windows=tuple(call.window for call in calls),
            kv_heads=first.kv_heads,
            query_heads=first.query_heads,
            head_dim=first.key_dim,
            dtype=first.dtype,
            devices=tuple(devices),
            homes=tuple(call.device for call in calls),
            attending=attending,
            states=tuple(sorted(states)),
        )

    def _check_kinds(self, states: frozenset[int]) -> None:
        """The kind of layer decides the model's own mask, which the engine replaces by causality and the window."""
        layers = range(len(self._kinds))
        unknown = [layer for layer in layers if self._kinds[layer] not in _KINDS]
        if unknown:
            kinds = sorted({self._kinds[layer] for layer in unknown})
            self._object(f"layers {_short(unknown)} are of the kind {', '.join(kinds)}")
        known = {layer: _KINDS[self._kinds[layer]] for layer in layers if layer not in unknown}
        self._name("do not attend over keys", [n for n, kind in known.items() if kind.attends and n not in self._seen])
        self._name("keep no state, or to themselves", [n for n, k in known.items() if k.remembers and n not in states])
        attends = [n for n in self._seen if n not in unknown and not (n in known and known[n].attends)]
        self._name("attend, and should not by their kind", attends)
        self._name("keep a state, and should not by their kind", [n for n in states if not known[n].remembers])
        slides = [n for n, seen in self._seen.items() if n in known and known[n].slides != (seen.window is not None)]
        self._name("have a sliding window that does not go with their kind", slides)

    def _name(self, what: str, layers: list[int]) -> None:
        if layers:
            self._object(f"layers {_short(sorted(layers))} {what}")

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
    unknown = sorted(name for name, value in options.items() if value is not None and name not in _EXPECTED)
    if unknown:
        reasons.append(f"its attention takes what the engine does not know: {', '.join(unknown)}")
    return reasons


def _short(numbers: list[int]) -> str:
    text = ", ".join(map(str, numbers[:4]))
    return f"{text}, …" if len(numbers) > 4 else text
