"""One model over several devices: which part lies where, and how tensors get from one device to the next.

The layers are laid on the devices in stretches, and what is before and behind them (embeddings, the last norm, the
output head) on the first. So tokens go in and predictions come out on the first device, and each stretch's keys,
values and states stay on its own: only hidden states move, once per border. The devices work one after the other;
what is gained is room.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from scbench.errors import ScbenchError

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel


def of(config: PretrainedConfig, devices: Sequence[torch.device], trusted: bool) -> dict[str, torch.device]:
    """The device map of a model with this configuration, which is built without weights to see its parts."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=trusted)
    return device_map(model, devices)


def device_map(model: PreTrainedModel, devices: Sequence[torch.device]) -> dict[str, torch.device]:
    """The device of every part of a model, by the part's name; the model may be on the meta device.

    Stretches differ by one layer at most, and the first, which has the embeddings too, is never the longer one. Raises
    `ScbenchError` where there are more devices than layers.
    """
    layers = _layers(model)
    count, total = len(devices), len(layers)
    if count > total:
        raise ScbenchError(f"model.parallel={count}: the model has {total} layers, so take at most {total} devices")
    inside = {id(layer): devices[(count * (number + 1) - 1) // total] for number, layer in enumerate(layers)}
    return {name: inside.get(id(part), devices[0]) for name, part in _parts(model, layers)}


def join(model: PreTrainedModel, placed: Mapping[str, torch.device]) -> None:
    """Let every part of a model, placed by a device map, take its inputs to its own device.

    It is once per part and pass what accelerate's hooks, which are taken off, do at every module that has weights.
    """
    from accelerate.hooks import remove_hook_from_submodules

    remove_hook_from_submodules(model)
    for name, device in placed.items():
        model.get_submodule(name).register_forward_pre_hook(_border(device), with_kwargs=True)


def _layers(model: PreTrainedModel) -> nn.ModuleList:
    """The list of the decoder's layers, which no model calls by another rule than this."""
    wanted = model.config.get_text_config().num_hidden_layers
    for module in model.get_decoder().modules():
        if isinstance(module, nn.ModuleList) and len(module) == wanted:
            return module
    raise ScbenchError(f"model.parallel: {type(model).__name__} has no list of its {wanted} layers to be divided")


def _parts(module: nn.Module, layers: nn.ModuleList, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Each layer, and the largest modules that have none in them."""
    for key, child in module.named_children():
        path = f"{name}{key}"
        if child is layers or any(inner is layers for inner in child.modules()):
            yield from _parts(child, layers, f"{path}.")
        else:
            yield path, child


def _border(device: torch.device) -> Any:
    from accelerate.utils import send_to_device

    def take(_: nn.Module, positional: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Any]:
        return send_to_device(positional, device), send_to_device(named, device)

    return take
