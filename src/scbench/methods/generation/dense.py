"""The full cache: what every method is measured against."""

from __future__ import annotations

from dataclasses import dataclass

from scbench.methods.base import Method


@dataclass(frozen=True)
class Dense(Method):
    """Keep every key and value, attend to all of them. Memory O(n), prefill O(n²), decode O(n) per token."""
