"""Waiting for devices, and choosing one."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def synchronise(*devices: torch.device) -> None:
    """Wait for the devices, so that times are those of work done."""
    for device in devices:
        if device.type == "cuda":
            torch.cuda.synchronize(device)


def current(device: torch.device) -> AbstractContextManager[object]:
    """Within it the device is the current one, on which Triton starts its kernels wherever their tensors lie."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()
