"""Feed-forward layers in chunks: they read each token by itself, and a whole prompt's inner activations are large."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

ROWS = 4096  # tokens at once


def install(model: nn.Module, rows: int = ROWS) -> None:
    """Let a model's MLPs take more than `rows` tokens in parts: at 128K tokens of an 8B model this saves 10 GB.

    Only modules named `mlp` whose class is an MLP by name are changed: mixtures of experts choose by token too, but
    return more than one tensor in some models.
    """
    for name, module in model.named_modules():
        if name.rpartition(".")[2] == "mlp" and type(module).__name__.endswith("MLP"):
            module.forward = _in_parts(module.forward, rows)


def _in_parts(forward: Callable[..., Tensor], rows: int) -> Callable[..., Tensor]:
    def parted(x_BTD: Tensor, *others: Any, **named: Any) -> Tensor:
        if others or named or x_BTD.dim() != 3 or x_BTD.shape[1] <= rows:  # some take a residual too
            return forward(x_BTD, *others, **named)
        return torch.cat([forward(part_BtD) for part_BtD in torch.split(x_BTD, rows, dim=1)], dim=1)

    return parted
