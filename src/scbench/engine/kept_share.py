"""How much of given places a turn's cache still has."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from scbench.engine.view import View
from scbench.modes import Places


def kept_share(view: View, places: Places, windows: Sequence[int | None]) -> float | None:
    """The mean over full-attention layers and KV heads of the share of the places that the view holds.

    A text that stands in several places counts with the one that is held best; several texts count alike. None
    without places, or without a full-attention layer: nowhere else does a method choose what is held.
    """
    layers = [layer for layer, window in enumerate(windows) if window is None]
    if not places or not layers:
        return None
    counted = torch.stack([_held_before(view, layer) for layer in layers])
    return sum(max(_share(counted, *place) for place in text) for text in places) / len(places)


def _held_before(view: View, layer: int) -> Tensor:
    """The mean over KV heads of how many of the positions before each one are held: `[L + 1]`, on the CPU."""
    held_L = torch.zeros(view.length + 1, dtype=torch.float64)
    for segment in view.layers[layer]:
        stop = min(segment.stop, view.length)
        held_GL = segment.holds()[:, : stop - segment.start]
        held_L[segment.start + 1 : stop + 1] = held_GL.float().mean(0).cpu()
    return held_L.cumsum(0)


def _share(counted_NL: Tensor, start: int, stop: int) -> float:
    return float((counted_NL[:, stop] - counted_NL[:, start]).mean()) / (stop - start)
