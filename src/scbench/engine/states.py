"""Recurrent states of layers that read the past as a summary: state-space models, gated delta nets, convolutions.

Their size does not grow with the text, and nothing can be cropped from them: a trunk keeps a snapshot at every point
that a branch leaves from, and a batch of branches is a stack of snapshots. No row of a stack may be padded, since a
state takes in whatever it is shown; so branches read suffixes of different lengths alone, and then decode together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Key = tuple[str, int, int]  # (conv or recurrent, layer, number within the layer)


class UnknownUseError(AttributeError):
    """A model wants something of its cache that states do not have."""


@dataclass(frozen=True)
class Snapshot:
    """The states of one branch at a point, never changed; without tensors: before the first token."""

    tensors: Mapping[Key, Tensor] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """What it costs."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors.values())


class States:
    """The states of a batch of branches, changed in place by every pass. Tensors are `[B, …]`.

    It is handed to the model in the place of a cache of transformers and keeps no keys and values: an attention layer
    that updates it gets back what it gave, and finds the past through the engine. Models ask it by the names of
    transformers' cache; a question that it has no answer to raises UnknownUseError.
    """

    def __init__(self, tensors: Mapping[Key, Tensor] | None = None) -> None:
        self._tensors = dict(tensors or {})

    @classmethod
    def stack(cls, snapshots: Sequence[Snapshot]) -> States:
        """A batch that goes on from these points, one row each. The snapshots stay as they are."""
        if any(snapshot.tensors.keys() != snapshots[0].tensors.keys() for snapshot in snapshots):
            raise ValueError("branches before the first token and after it cannot be one batch")
        return cls({key: torch.stack([s.tensors[key] for s in snapshots]) for key in snapshots[0].tensors})

    def snapshot(self, row: int = 0) -> Snapshot:
        """A copy of one row's states."""
        return Snapshot({key: tensor[row].clone() for key, tensor in self._tensors.items()})

    def keep(self, rows: list[int]) -> None:
        """Only these branches go on."""
        for key, tensor in self._tensors.items():
            self._tensors[key] = tensor[torch.tensor(rows, device=tensor.device)]

    @property
    def rows(self) -> int | None:
        """How many branches; None before the first token, when any number may begin."""
        return next((tensor.shape[0] for tensor in self._tensors.values()), None)

    @property
    def layers(self) -> frozenset[int]:
        """The layers of the model that hold states here."""
        return frozenset(layer for _, layer, _ in self._tensors)

    # What models ask of a cache:

    def get_conv_state(self, layer_idx: int, state_idx: int = 0) -> Tensor | None:
        """The last inputs of a convolution, which a model's single-token step changes in place."""
        return self._tensors.get(("conv", layer_idx, state_idx))

    def get_recurrent_state(self, layer_idx: int, state_idx: int = 0) -> Tensor | None:
        """A layer's summary of the past, which a model's single-token step changes in place."""
        return self._tensors.get(("recurrent", layer_idx, state_idx))

    def update_conv_state(
        self, conv_states: Tensor, layer_idx: int, state_idx: int = 0, conv_kernel_size: int | None = None, **_: Any
    ) -> Tensor:
        """Take in new inputs `[B, C, T]`; they come back with the past inputs that the first of them needs."""
        key = ("conv", layer_idx, state_idx)
        past = self._tensors.get(key)
        if past is None:
            width = conv_states.shape[-1] if conv_kernel_size is None else conv_kernel_size
            seen = F.pad(conv_states, (max(0, width - conv_states.shape[-1]), 0))
        else:
            width = past.shape[-1]
            seen = torch.cat([past, conv_states.to(past.dtype)], dim=-1)
        self._tensors[key] = seen[..., -width:].clone()  # a slice would hold on to all of them
        return seen

    def update_recurrent_state(self, recurrent_states: Tensor, layer_idx: int, state_idx: int = 0, **_: Any) -> Tensor:
        """Put a new summary in the place of the old one, whose number format stays."""
        key = ("recurrent", layer_idx, state_idx)
        past = self._tensors.get(key)
        self._tensors[key] = recurrent_states if past is None else recurrent_states.to(past.dtype)
        return self._tensors[key]

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: Any) -> tuple[Tensor, Tensor]:
        """Keys and values are the engine's."""
        return key_states, value_states

    def is_recording_past(self, layer_idx: int) -> bool:
        """Whether states can be taken back: no."""
        return False

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """No keys, no length; positions are always given."""
        return 0

    def get_query_offset(self, layer_idx: int = 0) -> int:
        """As `get_seq_length`."""
        return 0

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        """A mask, if there were one, would be over the new tokens alone."""
        return query_length, 0

    def __getattr__(self, name: str) -> Any:
        raise UnknownUseError(name)
