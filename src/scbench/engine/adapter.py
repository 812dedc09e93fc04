"""The seam to transformers: the only module that knows its internals.

A function registered with `AttentionInterface` receives the new tokens' q, k and v after RoPE; where it finds
the cache is passed down through the model's own keyword arguments, so that no global state is needed. No cache
class of transformers takes part, and no mask either: an attention function under an unknown mask name gets none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel

from scbench.errors import ScbenchError
from scbench.kernels import few_rows

_NAME = "scbench"
_STEP = "scbench_step"
_MOVING_ROPE = ("dynamic", "longrope")  # factors follow the largest position seen, so chunks disagree

# (layer, q_BHTD, k_BGTD, v_BGTD, scale) -> out_BTHD
Attend = Callable[[int, Tensor, Tensor, Tensor, float], Tensor]


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


class Adapter:
    """A causal language model whose attention is computed by the engine.

    Raises ScbenchError, naming the model and the reason, for architectures that the engine has no segment for.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        AttentionInterface.register(_NAME, _attention)
        model.set_attn_implementation(_NAME)
        few_rows.install(model)
        self._model = model
        self._name = model.config.name_or_path or type(model).__name__
        self._refuse_by_config()
        self.shape = self._probe()

    def forward(self, ids_BT: Tensor, position_BT: Tensor, attend: Attend) -> Tensor:
        """Run the model over new tokens; `attend` is called once per layer. Logits of the last token: `[B, V]`."""
        return self._logits(ids_BT, position_BT, _Step(attend, self.shape.windows))

    def _logits(self, ids_BT: Tensor, position_BT: Tensor, step: Callable[..., Tensor]) -> Tensor:
        with torch.inference_mode():
            output = self._model(
                input_ids=ids_BT, position_ids=position_BT, use_cache=False, logits_to_keep=1, **{_STEP: step}
            )
        logits: Tensor = output.logits[:, -1]
        return logits

    def _refuse_by_config(self) -> None:
        config = self._model.config.get_text_config()
        moving = sorted(set(_rope_types(config)) & set(_MOVING_ROPE))
        if moving:
            self._refuse(f"its RoPE factors move with the longest position seen ({moving[0]})")
        if getattr(config, "num_kv_shared_layers", 0):
            self._refuse("its layers share keys and values")

    def _probe(self) -> Shape:
        """One token through the model shows every layer's window and head sizes, whatever its class is called."""
        probe = _Probe()
        one = torch.zeros(1, 1, dtype=torch.long, device=self._model.device)
        self._logits(one, one, probe)
        expected = range(self._model.config.get_text_config().num_hidden_layers)
        silent = sorted(set(expected) - set(probe.seen))
        if silent:
            self._refuse(f"layers {_short(silent)} do not attend over keys (state-space or linear attention)")
        calls = [probe.seen[layer] for layer in sorted(probe.seen)]
        if any(call.extras for call in calls):
            self._refuse(f"its attention uses {', '.join(sorted({e for call in calls for e in call.extras}))}")
        shapes = {(call.kv_heads, call.key_dim, call.value_dim) for call in calls}
        if len(shapes) > 1 or calls[0].key_dim != calls[0].value_dim:
            self._refuse(f"its layers have keys and values of different sizes {sorted(shapes)}")
        first = calls[0]
        return Shape(
            tuple(call.window for call in calls),
            first.kv_heads,
            first.key_dim,
            first.dtype,
            self._model.device,
        )

    def _refuse(self, reason: str) -> None:
        raise ScbenchError(f"model {self._name} cannot run on engine=own: {reason}")


def _attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    step = kwargs.get(_STEP)
    if step is None:
        raise RuntimeError("a model under attention 'scbench' was called outside the engine")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return step(module.layer_idx, query, key, value, scale, kwargs), None


class _Step:
    """Hands each layer's tensors to the engine, and insists on what the probe saw."""

    def __init__(self, attend: Attend, windows: tuple[int | None, ...]) -> None:
        self._attend = attend
        self._windows = windows

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, options: Mapping[str, Any]) -> Tensor:
        if options.get("sliding_window") != self._windows[layer]:
            raise RuntimeError(f"layer {layer}: the sliding window changed between calls")
        return self._attend(layer, q, k, v, scale)


@dataclass(frozen=True)
class _Call:
    window: int | None
    kv_heads: int
    key_dim: int
    value_dim: int
    dtype: torch.dtype
    extras: tuple[str, ...]


class _Probe:
    """Attention of a single token over itself: its own value, whatever the scores."""

    def __init__(self) -> None:
        self.seen: dict[int, _Call] = {}

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, options: Mapping[str, Any]) -> Tensor:
        names = {"softcap": "soft-capped scores", "s_aux": "attention sinks"}
        extras = tuple(text for name, text in names.items() if options.get(name) is not None)
        window = options.get("sliding_window")
        self.seen[layer] = _Call(window, k.shape[1], k.shape[-1], v.shape[-1], k.dtype, extras)
        return v.repeat_interleave(q.shape[1] // v.shape[1], dim=1).transpose(1, 2)


def _rope_types(config: Any) -> Iterator[str]:
    """The kinds of RoPE of a configuration, which has one set of parameters or one per kind of layer."""
    parameters = getattr(config, "rope_parameters", None) or {}
    for entry in [parameters, *parameters.values()]:
        if isinstance(entry, Mapping) and "rope_type" in entry:
            yield entry["rope_type"]


def _short(numbers: list[int]) -> str:
    text = ", ".join(map(str, numbers[:4]))
    return f"{text}, …" if len(numbers) > 4 else text
