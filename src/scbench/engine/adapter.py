"""The seam to transformers: with `probe`, `rope` and `states`, the only module that knows its internals.

A function registered with `AttentionInterface` receives the new tokens' q, k and v after RoPE; where it finds
the cache is passed down through the model's own keyword arguments, so that no global state is needed. No cache
class of transformers takes part, and no mask either: an attention function under an unknown mask name gets none.
What layers keep instead of keys and values goes through `States`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import torch
from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel

from scbench.engine import rowwise
from scbench.engine.device import current
from scbench.engine.probe import Probe, Shape, objections
from scbench.engine.rope import MOVING, Rope
from scbench.engine.states import Snapshot, States, UnknownUseError
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
        rowwise.install(model)
        self._model = model
        self._name = model.config.name_or_path or type(model).__name__
        self._rope = Rope(model)
        self._cache = _cache_argument(model)
        self._refuse_by_config()
        self.shape = self._probe()

    @property
    def vocabulary(self) -> int:
        """How many different tokens it predicts."""
        return int(self._model.config.get_text_config().vocab_size)

    def prepare(self, longest: int) -> None:
        """Say before the first chunk of a session how long its longest sequence will be, with its answer.

        Models whose RoPE depends on that compute every chunk as they would compute the whole; others do not mind. Such
        a model cannot run unprepared, and keys of before a `prepare` do not fit those of after it.
        """
        self._rope.prepare(longest)

    def forward(self, ids_BT: Tensor, position_BT: Tensor, attend: Attend, states: States | None = None) -> Tensor:
        """Run the model over new tokens; `attend` is called once per layer. Logits of the last token: `[B, V]`.

        A model with `shape.states` needs the states of the same branches, and moves them on; then no row may be
        padded, and if `shape.single`, only the first tokens of all may come several at once.
        """
        return self.predict(ids_BT, position_BT, attend, states, 1)[:, -1]

    def predict(self, ids_BT: Tensor, position_BT: Tensor, attend: Attend, states: States | None, last: int) -> Tensor:
        """The same with the logits of the `last` tokens: `[B, last, V]`."""
        if self.shape.states:
            self._check(ids_BT, states)
        step = _Step(attend, self.shape)
        return self._logits(ids_BT, position_BT, step, states if self.shape.states else None, last)

    def _check(self, ids_BT: Tensor, states: States | None) -> None:
        if states is None:
            self._refuse("some of its layers keep states, and none were given")
        if states.rows not in (None, ids_BT.shape[0]):
            raise ValueError(f"states of {states.rows} branches for {ids_BT.shape[0]} rows of tokens")
        if self.shape.single and states.rows is not None and ids_BT.shape[1] > 1:
            raise ValueError(f"model {self._name} forgets its states unless tokens come one at a time")

    def _logits(
        self,
        ids_BT: Tensor,
        position_BT: Tensor,
        step: Callable[..., Tensor],
        states: States | None,
        last: int = 1,
    ) -> Tensor:
        named = {_STEP: step} if states is None else {_STEP: step, self._cache: states}
        with torch.inference_mode():
            output = self._model(
                input_ids=ids_BT, position_ids=position_BT, use_cache=False, logits_to_keep=last, **named
            )
        logits_BTV: Tensor = output.logits[:, -last:]
        return logits_BTV

    def _refuse_by_config(self) -> None:
        config = self._model.config.get_text_config()
        moving = sorted(set(_rope_types(config)) & set(MOVING) - self._rope.kinds)
        if moving:
            self._refuse(f"its RoPE factors move with the longest position seen, and not in a known way ({moving[0]})")
        if getattr(config, "kv_lora_rank", None):
            self._refuse("it has latent attention, for which there is no form of cached KV yet")
        if getattr(config, "num_kv_shared_layers", 0):
            self._refuse("its layers share keys and values")

    def _probe(self) -> Shape:
        probe, states = Probe(self._model.config.get_text_config()), States()
        two = torch.arange(2, device=self._model.device)[None]
        self.prepare(4)
        try:
            self._logits(two, two, probe, states if probe.remembers else None)
        except _OutsideError:
            self._refuse("it does not hand keyword arguments down to its attention")
        except UnknownUseError as error:
            self._refuse(f"it asks its cache for {error}")
        devices = list(dict.fromkeys(weight.device for weight in (two, *self._model.parameters())))
        shape = probe.shape(devices, self._model.dtype, states.layers)
        if shape is None:
            self._refuse("; ".join(probe.reasons))
        if shape.states:
            shape = replace(shape, single=self._forgets(states.snapshot(), two + 2))
        self._rope.prepare(None)
        return shape

    def _forgets(self, past: Snapshot, ids_BT: Tensor) -> bool:
        """Whether another past would make no difference to the recurrent states behind several tokens more."""
        other = {key: tensor + 1 if key[0] == "recurrent" else tensor for key, tensor in past.tensors.items()}
        after = []
        for snapshot in (past, Snapshot(other)):
            states = States.stack([snapshot])
            self._logits(ids_BT, ids_BT, Probe(self._model.config.get_text_config()), states)
            after.append(states.snapshot().tensors)
        recurrent = [key for key in other if key[0] == "recurrent"]
        return bool(recurrent) and any(torch.equal(after[0][key], after[1][key]) for key in recurrent)

    def _refuse(self, reason: str) -> NoReturn:
        raise ScbenchError(f"model {self._name} cannot run on engine=own: {reason}")


def _cache_argument(model: PreTrainedModel) -> str:
    """Under which name the model takes its cache."""
    return "cache_params" if "cache_params" in inspect.signature(model.forward).parameters else "past_key_values"


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

    def __init__(self, attend: Attend, shape: Shape) -> None:
        self._attend = attend
        self._shape = shape

    def __call__(
        self, module: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, options: Mapping[str, Any]
    ) -> Tensor:
        layer = self._shape.attending.index(module.layer_idx)
        if options.get("sliding_window") != self._shape.windows[layer]:
            raise RuntimeError(f"layer {layer}: the sliding window changed between calls")
        for reason in objections(module, mask, options):
            raise RuntimeError(f"layer {layer}: {reason}")
        scale = options.get("scaling")
        scale = q.shape[-1] ** -0.5 if scale is None else scale
        with current(q.device):
            return self._attend(layer, q, k, v, Call(scale, options.get("softcap"), options.get("s_aux")))


def _rope_types(config: Any) -> Iterator[str]:
    """The kinds of RoPE of a configuration, which has one set of parameters or one per kind of layer."""
    parameters = getattr(config, "rope_parameters", None) or {}
    for entry in [parameters, *parameters.values()]:
        if isinstance(entry, Mapping) and "rope_type" in entry:
            yield entry["rope_type"]
