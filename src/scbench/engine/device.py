"""Waiting for the device."""

from __future__ import annotations

import torch


def synchronise(device: torch.device) -> None:
    """Wait for the device, so that times are those of work done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
