"""The seam to transformers: with `probe` and `rope`, the only module that knows its internals.

A function registered with `AttentionInterface` receives the new tokens' q, k and v after RoPE; where it finds
the cache is passed down through the model's own keyword arguments, so that no global state is needed. No cache
class of transformers takes part, and no mask either: an attention function under an unknown mask name gets none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel

from scbench.engine.probe import Probe, Shape, objections
from scbench.engine.rope import MOVING, Rope
from scbench.errors import ScbenchError
from scbench.kernels import few_rows

__all__ = ["Adapter", "Attend", "Call", "Shape"]

_NAME = "scbench"
_STEP = "scbench_step"


@dataclass(frozen=True)
class Call:
    """How a layer wants its scores: times `scale`, capped at `softcap`, with a sink logit per query head."""

    scale: float
    softcap: float | None = None
    sinks_H: Tensor | None = None


# (layer, q_BHTD, k_BGTD, v_BGTD, call) -> out_BTHD
Attend = Callable[[int, Tensor, Tensor, Tensor, Call], Tensor]


class Adapter:
    """A causal language model whose attention is computed by the engine.

    Raises ScbenchError, naming the model and the reason, for architectures that the engine would answer wrongly for.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        AttentionInterface.register(_NAME, _attention)
        model.set_attn_implementation(_NAME)
        few_rows.install(model)
        self._model = model
        self._name = model.config.name_or_path or type(model).__name__
        self._rope = Rope(model)
        self._refuse_by_config()
        self.shape = self._probe()

    def prepare(self, longest: int) -> None:
        """Say before the first chunk of a session how long its longest sequence will be, with its answer.

        Models whose RoPE depends on that compute every chunk as they would compute the whole; others do not mind. Such
        a model cannot run unprepared, and keys of before a `prepare` do not fit those of after it.
        """
        self._rope.prepare(longest)

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
        moving = sorted(set(_rope_types(config)) & set(MOVING) - self._rope.kinds)
        if moving:
            self._refuse(f"its RoPE factors move with the longest position seen, and not in a known way ({moving[0]})")
        if getattr(config, "num_kv_shared_layers", 0):
            self._refuse("its layers share keys and values")

    def _probe(self) -> Shape:
        probe = Probe(self._model.config.get_text_config())
        two = torch.arange(2, device=self._model.device)[None]
        self.prepare(2)
        try:
            self._logits(two, two, probe)
        except _OutsideError:
            self._refuse("it does not hand keyword arguments down to its attention")
        self._rope.prepare(None)
        shape = probe.shape(self._model.device)
        if shape is None:
            self._refuse("; ".join(probe.reasons))
        return shape

    def _refuse(self, reason: str) -> NoReturn:
        raise ScbenchError(f"model {self._name} cannot run on engine=own: {reason}")


class _OutsideError(RuntimeError):
    pass


def _attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    step = options.pop(_STEP, None)
    if step is None:
        raise _OutsideError("a model under attention 'scbench' was called outside the engine")
    return step(module, query, key, value, attention_mask, options), None


class _Step:
    """Hands each layer's tensors to the engine, and insists on what the probe saw."""

    def __init__(self, attend: Attend, windows: tuple[int | None, ...]) -> None:
        self._attend = attend
        self._windows = windows

    def __call__(
        self, module: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, options: Mapping[str, Any]
    ) -> Tensor:
        layer: int = module.layer_idx
        if options.get("sliding_window") != self._windows[layer]:
            raise RuntimeError(f"layer {layer}: the sliding window changed between calls")
        for reason in objections(module, mask, options):
            raise RuntimeError(f"layer {layer}: {reason}")
        scale = options.get("scaling")
        scale = q.shape[-1] ** -0.5 if scale is None else scale
        return self._attend(layer, q, k, v, Call(scale, options.get("softcap"), options.get("s_aux")))


def _rope_types(config: Any) -> Iterator[str]:
    """The kinds of RoPE of a configuration, which has one set of parameters or one per kind of layer."""
    parameters = getattr(config, "rope_parameters", None) or {}
    for entry in [parameters, *parameters.values()]:
        if isinstance(entry, Mapping) and "rope_type" in entry:
            yield entry["rope_type"]
