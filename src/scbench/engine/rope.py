"""RoPE whose factors follow the longest position seen (longrope, dynamic NTK), held still for a session.

Such a model computes the angles of a chunk from the largest position in it, so keys of an early chunk would be
rotated otherwise than in one pass over the whole prompt. Here every call is shown one position more, the last one of
the longest sequence to come, and the model itself then picks the factors that it would pick for the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

MOVING = ("dynamic", "longrope")


class Rope:
    """The rotary embeddings of a model that move; `kinds` is empty if none does."""

    def __init__(self, model: nn.Module) -> None:
        self._longest: int | None = None
        self._fresh: set[tuple[Any, ...]] = set()  # calls that have forgotten the sequence before
        self.kinds: set[str] = set()
        for module in model.modules():
            kinds = set(_kinds(module))
            if kinds:
                self.kinds |= kinds
                module.forward = self._steady(module)

    def prepare(self, longest: int | None) -> None:
        """From here on the factors are those of a sequence of `longest` tokens; None: nobody may ask for them."""
        self._longest = longest
        self._fresh.clear()

    def _steady(self, module: nn.Module) -> Callable[..., tuple[Tensor, Tensor]]:
        plain = type(module).forward.__get__(module)

        def forward(x: Tensor, position_ids: Tensor, *kind: Any, **named: Any) -> tuple[Tensor, Tensor]:
            longest = self._longest
            if longest is None:
                raise RuntimeError("RoPE moves with the longest position, so the adapter must be prepared for a length")
            if int(position_ids.max()) >= longest:
                raise RuntimeError(f"a position at or after {longest}, for which the adapter was prepared")
            call = (id(module), *kind, *named.values())
            if call not in self._fresh:  # dynamic NTK keeps a longer sequence's factors until it sees a short one
                plain(x, torch.zeros_like(position_ids), *kind, **named)
                self._fresh.add(call)
            last = position_ids.new_full((*position_ids.shape[:-1], 1), longest - 1)
            cos, sin = plain(x, torch.cat([position_ids, last], dim=-1), *kind, **named)
            return cos[..., :-1, :], sin[..., :-1, :]

        return forward


def _kinds(module: nn.Module) -> Iterator[str]:
    """The moving kinds of a rotary embedding, which has one kind or one per kind of layer."""
    found = getattr(module, "rope_type", None)
    for kind in found.values() if isinstance(found, dict) else [found]:
        if kind in MOVING:
            yield kind
