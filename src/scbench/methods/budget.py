"""The shared budget: tokens, a share of the base, or stored bytes, as one number of tokens per layer."""

from __future__ import annotations

import re
from dataclasses import dataclass

from scbench.errors import ScbenchError

_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "kB": 10**3, "MB": 10**6, "GB": 10**9}


@dataclass(frozen=True)
class Budget:
    """A budget as the user wrote it: int = tokens, float in (0, 1] = share of the base, '64MiB' = stored bytes."""

    value: int | float | str

    def __post_init__(self) -> None:
        if self._bytes() is not None:
            return
        tokens = isinstance(self.value, int) and self.value >= 1
        share = isinstance(self.value, float) and 0 < self.value <= 1
        if isinstance(self.value, bool) or not (tokens or share):
            raise ScbenchError(
                f"budget={self.value}: expected tokens (1024), a share of the base (0.25), or bytes (64MiB)"
            )

    def tokens(self, base: int, token_bytes: int) -> int:
        """Tokens per layer that fit: `base` is the base's length, `token_bytes` what one costs over all layers."""
        size = self._bytes()
        if size is not None:
            return max(1, size // token_bytes)
        if isinstance(self.value, float):
            return max(1, int(self.value * base))
        return int(self.value)

    def _bytes(self) -> int | None:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kKMG]?i?B)", self.value) if isinstance(self.value, str) else None
        return int(float(match[1]) * _UNITS[match[2]]) if match and match[2] in _UNITS else None
