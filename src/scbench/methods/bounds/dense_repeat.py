"""Dense again: how far two dense runs are apart when only the order of their arithmetic differs."""

from __future__ import annotations

from dataclasses import dataclass

from scbench.errors import ScbenchError
from scbench.methods.base import Method, Passes


@dataclass(frozen=True)
class DenseRepeat(Method):
    """The noise floor: the full cache, with prompts read `chunk` tokens at a time and `width` branches in a batch.

    Exact arithmetic would give the dense cell's answers. Floating-point sums depend on how they are grouped, so answers
    and predictions differ a little, the more the shorter the numbers are; a difference between a method and dense that
    is no larger than this one says nothing. It is measured against the dense cache with the engine's own chunks and
    batch, in the same family, for which this is one more prefill. Together with another method
    (`dense_repeat+snapkv`) it repeats that one. `engine.chunk` must be another.

    Memory O(n), prefill O(n²), decode O(n) per token.
    """

    chunk: int = 347
    width: int = 1

    def __post_init__(self) -> None:
        if self.chunk < 1 or self.width < 1:
            raise ScbenchError(f"dense_repeat: chunk={self.chunk} and width={self.width} must be >= 1")

    @property
    def passes(self) -> Passes:
        """Its own."""
        return Passes(self.chunk, self.width)
