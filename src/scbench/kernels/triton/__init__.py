"""Kernels in Triton, for GPUs. **They have never run on a GPU**: they are tested in Triton's interpreter on the CPU.

This module doesn't import triton; the modules of the kernels do, so import them only where `available()`.
"""

from __future__ import annotations

import importlib.util
import os

import torch


def available() -> bool:
    """Whether the kernels can be imported and run: triton is installed, with a GPU or its interpreter to run them."""
    return importlib.util.find_spec("triton") is not None and (interpreted() or torch.cuda.is_available())


def interpreted() -> bool:
    """Whether kernels run in the interpreter: TRITON_INTERPRET=1, set before triton is imported."""
    return os.environ.get("TRITON_INTERPRET") == "1"
