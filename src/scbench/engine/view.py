"""What a branch sees: the cache as it was at its point."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from scbench.segments.base import Segment


@dataclass(frozen=True)
class View:
    """The first `length` tokens of a trunk: per layer the segments that hold them, and the logits after the last one.

    A segment may hold more, which a branch with this view never reads. `logits_V` is None where nothing is predicted
    from the trunk itself.
    """

    layers: tuple[tuple[Segment, ...], ...]
    length: int
    logits_V: Tensor | None = None


@dataclass(frozen=True)
class Row:
    """One row of a batch: a branch that reads `suffix` over its view, then decodes up to `max_new_tokens`."""

    view: View
    suffix: tuple[int, ...]
    max_new_tokens: int
