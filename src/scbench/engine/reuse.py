"""A context put together from pieces: how they are read apart, compared, and computed again where it matters."""

from __future__ import annotations

import torch
from torch import Tensor

from scbench.engine.adapter import Call
from scbench.engine.trunk import Trunk
from scbench.errors import ScbenchError
from scbench.kernels.choose import Kernels
from scbench.kernels.plans import Band
from scbench.kernels.spec import Spec, Visible
from scbench.methods.base import Deviation
from scbench.segments.dense import DenseSegment

ROWS = 128  # rows at once: what lies before the first of them needs no mask


class PieceAttention:
    """Tokens behind the trunk that see nothing before the beginning of their piece [start, stop)."""

    def __init__(self, trunk: Trunk, start: int, stop: int, kernels: Kernels) -> None:
        self._trunk, self._start, self._stop, self._kernels = trunk, start, stop, kernels
        self._first = trunk.length

    def __call__(self, layer: int, q_BHTD: Tensor, k_BGTD: Tensor, v_BGTD: Tensor, call: Call) -> Tensor:
        """The layer's attention output `[1, T, H, D]`; keys and values join the trunk's open segment."""
        _refuse(call)
        opened, length = self._trunk.latest(layer), self._stop - self._start
        opened.append(k_BGTD[0], v_BGTD[0])
        plan = Band(0, self._trunk.shape.windows[layer] or length)
        own = slice(self._start, None)
        k_GLD, v_GLD = opened.k_GLD[:, own], opened.v_GLD[:, own]
        first = self._first - self._start
        return _batched(self._kernels.planned(q_BHTD[0], k_GLD, v_GLD, plan, call.scale, first, length))


class Compared(Exception):
    """No error: the layer that was to be compared has been reached, and the pass ends there."""


class Comparison:
    """All tokens computed anew up to one layer, where their keys and values are compared with the trunk's.

    In that layer the new ones take the place of the old: they are there.
    """

    def __init__(self, trunk: Trunk, layer: int, kernels: Kernels) -> None:
        self._trunk, self._layer, self._kernels = trunk, min(layer, trunk.shape.layers - 1), kernels
        self.deviation: Deviation | None = None

    def __call__(self, layer: int, q_BHTD: Tensor, k_BGTD: Tensor, v_BGTD: Tensor, call: Call) -> Tensor:
        """The layer's attention output `[1, T, H, D]`; raises `Compared` at the layer that is asked about."""
        _refuse(call)
        held = self._trunk.latest(layer)
        if layer == self._layer:
            k_L, v_L = (
                (new_GLD.float() - old_GLD.float()).square().sum(dim=(0, 2))
                for new_GLD, old_GLD in ((k_BGTD[0], held.k_GLD), (v_BGTD[0], held.v_GLD))
            )
            self.deviation = Deviation(k_L, v_L)
            held.put(torch.arange(held.start, held.stop, device=k_L.device), k_BGTD[0], v_BGTD[0])
            raise Compared
        total = q_BHTD.shape[2]
        plan = Band(0, self._trunk.shape.windows[layer] or total)
        return _batched(self._kernels.planned(q_BHTD[0], k_BGTD[0], v_BGTD[0], plan, call.scale, 0, total))


class RowsAttention:
    """Some tokens computed again: their keys and values take the place of the old ones, and they see all before."""

    def __init__(self, trunk: Trunk, position_T: Tensor, kernels: Kernels) -> None:
        self._trunk, self._position_T, self._kernels = trunk, position_T, kernels

    def __call__(self, layer: int, q_BHTD: Tensor, k_BGTD: Tensor, v_BGTD: Tensor, call: Call) -> Tensor:
        """The layer's attention output `[1, T, H, D]`."""
        _refuse(call)
        held = self._trunk.latest(layer)
        position_T = self._position_T.to(k_BGTD.device)
        held.put(position_T, k_BGTD[0], v_BGTD[0])
        window = self._trunk.shape.windows[layer]
        parts = [
            self._attend(held, q_BHTD[0, :, at : at + ROWS], position_T[at : at + ROWS], window, call)
            for at in range(0, len(position_T), ROWS)
        ]
        return _batched(torch.cat(parts, dim=1))

    def _attend(self, held: DenseSegment, q_HtD: Tensor, position_t: Tensor, window: int | None, call: Call) -> Tensor:
        heads, rows, dim = q_HtD.shape
        kv_heads = held.k_GLD.shape[0]
        group = heads // kv_heads
        hi_N = (position_t + 1).repeat(group)
        lo_N = torch.zeros_like(hi_N) if window is None else (hi_N - window).clamp(min=0)
        visible = Visible.of(lo_N, hi_N, group, rows)
        part = held.attend(q_HtD.reshape(kv_heads, -1, dim), visible, Spec(call.scale, window), self._kernels)
        return part.out_GND.reshape(heads, rows, dim)


def _batched(out_HTD: Tensor) -> Tensor:
    return out_HTD.transpose(0, 1).unsqueeze(0)


def _refuse(call: Call) -> None:
    if call.softcap is not None or call.sinks_H is not None:
        raise ScbenchError("KV cannot be put together for a model with soft-capped scores or attention sinks")
