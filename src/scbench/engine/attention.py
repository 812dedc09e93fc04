"""One layer's attention for a batch of branches: the segments of their views and their own tails, merged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scbench.engine.adapter import Call
from scbench.engine.tails import Tails
from scbench.engine.view import View
from scbench.kernels.choose import Kernels
from scbench.kernels.merge import merge, merge_rows, with_sinks
from scbench.kernels.spec import Partial, Spec, Visible
from scbench.segments.base import Segment


@dataclass(frozen=True)
class Reading:
    """A segment and the rows (ascending) whose views have it: it is read once for all of them."""

    segment: Segment
    rows: tuple[int, ...]


class BatchAttention:
    """The attention of a batch of branches, each over its own view, one call per layer and forward pass.

    Rows are the branches' new tokens. Row (b, t) at logical position `position_BT[b, t]` sees its view below the
    view's length and its own tail up to itself, all cut to the layer's window. For every KV head the query heads of
    its group, the branches and the tokens become rows of one attention, so a segment is read once for all branches
    that share it.
    """

    def __init__(self, views: Sequence[View], tails: Tails, windows: Sequence[int | None], kernels: Kernels) -> None:
        self._tails = tails
        self._windows = windows
        self._kernels = kernels
        self._length = torch.tensor([view.length for view in views])
        layers = [_readings(views, layer) for layer in range(len(windows))]
        self._layers = [(readings, _places(readings, len(views))) for readings in layers]
        self._lasting: dict[tuple[torch.device, int, tuple[int, ...]], Visible] = {}
        self._passing: dict[tuple[torch.device, int, tuple[int, ...]], Visible] = {}
        self._joined: dict[tuple[int, int], Tensor] = {}
        self._position_BT = torch.empty(0)

    def over(self, views: Sequence[View]) -> BatchAttention:
        """The same for other views, after the tails have been cut to their rows."""
        return BatchAttention(views, self._tails, self._windows, self._kernels)

    def at(self, position_BT: Tensor) -> BatchAttention:
        """For the next forward pass: the positions of its tokens."""
        self._position_BT = position_BT
        self._length = self._length.to(position_BT.device)
        self._passing = {}
        return self

    def __call__(self, layer: int, q_BHTD: Tensor, k_BGTD: Tensor, v_BGTD: Tensor, call: Call) -> Tensor:
        """The layer's attention output `[B, T, H, D]`; the new keys and values join the tails."""
        spec = Spec(call.scale, self._windows[layer], call.softcap)
        own = self._tails.attend(layer, q_BHTD, k_BGTD, v_BGTD, spec, self._kernels.under(spec.softcap))
        if call.sinks_H is not None:  # once per row, and every row has tokens of its own
            own = with_sinks(own, call.sinks_H, q_BHTD.shape[0])
        readings, place_KB = self._layers[layer]
        kv_heads = k_BGTD.shape[1]
        parts = [*(self._read(reading, q_BHTD, kv_heads, spec) for reading in readings), own]
        if place_KB is None:
            return unfold(merge(parts).out_GND, q_BHTD.shape)
        each = q_BHTD.shape[1] // kv_heads * q_BHTD.shape[2]  # rows of one branch in a fold
        if (layer, each) not in self._joined:  # on a GPU it would be copied there at every step
            first_KB1 = place_KB.unsqueeze(-1) * each
            row_KBn = torch.where(first_KB1 < 0, -1, first_KB1 + torch.arange(each))
            self._joined[layer, each] = row_KBn.flatten(1).to(q_BHTD.device)
        return unfold(merge_rows(parts, self._joined[layer, each]).out_GND, q_BHTD.shape)

    def _read(self, reading: Reading, q_BHTD: Tensor, kv_heads: int, spec: Spec) -> Partial:
        some_BHTD = _rows(q_BHTD, reading.rows)
        visible = self._visible(reading.rows, spec.window, q_BHTD.shape[1] // kv_heads, q_BHTD.device)
        return reading.segment.attend(fold(some_BHTD, kv_heads), visible, spec, self._kernels.under(spec.softcap))

    def _visible(self, rows: tuple[int, ...], window: int | None, group: int, device: torch.device) -> Visible:
        """Visibility depends on the window only, so layers of one kind share it, and without one all passes do.

        Each device has its own, made where the positions are.
        """
        tokens = self._position_BT.shape[1]
        known = self._lasting if window is None else self._passing
        key = (device, tokens if window is None else window, rows)
        if key not in known:
            hi_BT = _rows(self._length, rows)[:, None].expand(-1, tokens)
            lo_BT = torch.zeros_like(hi_BT)
            if window is not None:
                lo_BT = torch.minimum((_rows(self._position_BT, rows) - window + 1).clamp(min=0), hi_BT)
            lo_N, hi_N = (bound[:, None].expand(-1, group, -1).reshape(-1).to(device) for bound in (lo_BT, hi_BT))
            known[key] = Visible.of(lo_N, hi_N, group, tokens)
        return known[key]


def fold(q_BHTD: Tensor, kv_heads: int) -> Tensor:
    """Branches, query heads of a group and tokens as rows of their KV head: `[G, B·g·T, D]`."""
    batch, heads, tokens, dim = q_BHTD.shape
    q_BGgTD = q_BHTD.reshape(batch, kv_heads, heads // kv_heads, tokens, dim)
    return q_BGgTD.transpose(0, 1).reshape(kv_heads, -1, dim)


def unfold(out_GND: Tensor, shape: torch.Size) -> Tensor:
    """The inverse of `fold`, in the order that the model's output projection reads: `[B, T, H, D]`."""
    batch, heads, tokens, dim = shape
    out_GBgTD = out_GND.reshape(out_GND.shape[0], batch, -1, tokens, dim)
    return out_GBgTD.permute(1, 3, 0, 2, 4).reshape(batch, tokens, heads, dim)


def _readings(views: Sequence[View], layer: int) -> tuple[Reading, ...]:
    """The segments; those of which others have a part, piece by piece."""
    seen = [
        (segment, row)
        for row, view in enumerate(views)
        for segment in view.layers[layer]
        if segment.start < view.length
    ]
    pieces = _by_segment((p, row) for segment, row in seen for p in segment.pieces() if p.start < views[row].length)
    found: dict[int, Reading] = {}
    for key, whole in _by_segment(seen).items():
        parts = {id(p): pieces[id(p)] for p in whole.segment.pieces() if id(p) in pieces}
        alone = all(part.rows == whole.rows for part in parts.values())
        found |= {key: whole} if parts and alone else parts
    return tuple(found.values())


def _by_segment(seen: Iterable[tuple[Segment, int]]) -> dict[int, Reading]:
    rows: dict[int, list[int]] = {}
    segments: dict[int, Segment] = {}
    for segment, row in seen:
        segments[id(segment)] = segment
        rows.setdefault(id(segment), []).append(row)
    return {key: Reading(segments[key], tuple(rows[key])) for key in segments}


def _places(readings: Sequence[Reading], batch: int) -> Tensor | None:
    """Where a branch's partial results are if those of all readings, and then the tails', lie side by side.

    `place_KB` counts in branches; -1 is none. None if every branch has all readings.
    """
    if all(len(reading.rows) == batch for reading in readings):
        return None
    found: list[list[int]] = [[] for _ in range(batch)]
    at = 0
    for reading in readings:
        for number, row in enumerate(reading.rows, at):
            found[row].append(number)
        at += len(reading.rows)
    most = max(map(len, found))
    return torch.tensor([[*own, *[-1] * (most - len(own)), at + row] for row, own in enumerate(found)]).T


def _rows(tensor: Tensor, rows: tuple[int, ...]) -> Tensor:
    """The given rows (ascending) of dimension 0, without a copy where they are neighbours."""
    if rows[-1] - rows[0] + 1 == len(rows):
        return tensor[rows[0] : rows[-1] + 1]
    return tensor[torch.tensor(rows, device=tensor.device)]
