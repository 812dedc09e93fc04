"""Where dense attention looks at a turn, and how much of that a method's cache still holds or reads.

The tokens that the method saw and said are read again over the dense cache. At the end of each prompt and every `EVERY`
decoded tokens, per full-attention layer and KV head (the mean over its query heads), this gives the share of attention
on what the turn's view holds or would read for this query, and how many of the base's B most attended positions are
those of the moment of compression, and of the end of the turn before: the shift of attention in long generation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scbench.engine.adapter import Call
from scbench.engine.answer import Decoder
from scbench.engine.view import View
from scbench.kernels.spec import Visible
from scbench.modes import Tokens
from scbench.record import Diagnostics
from scbench.segments.dense import DenseSegment

EVERY = 16
STATES_REFUSED = (
    "engine.diagnostics=attention needs a model without recurrent states, and this one has layers that keep them; "
    "leave it out, or choose another model"
)
DIGITS = 4


@dataclass(frozen=True)
class Looked:
    """Dense attention of a branch at its steps.

    Per full-attention layer `mass_GS` on what the method holds, and `top_GSB`, the most attended positions of the base.
    """

    mass: Mapping[int, Tensor]
    top: Mapping[int, Tensor]


def steps_of(answer: Tokens) -> tuple[int, ...]:
    """The decoded tokens before which is looked: none, 16, 32, …"""
    return tuple(range(0, max(1, len(answer)), EVERY))


def look(
    decoder: Decoder, dense: View, ids: Sequence[int], rows: Sequence[int], held: View | None, base: int, count: int
) -> Looked:
    """Read `ids` over a view of dense segments, and look at the queries of those numbered `rows`.

    `held` is the method's view of the tokens before the answer, or None where only the positions matter; `count` is how
    many of the first `base` positions are the most attended.
    """
    mass: dict[int, Tensor] = {}
    top: dict[int, Tensor] = {}
    shape = decoder.adapter.shape

    def watch(layer: int, q_HTD: Tensor, k_GTD: Tensor, call: Call) -> None:
        if shape.windows[layer] is not None:
            return
        q_GND = _rows(q_HTD, rows, k_GTD.shape[0])
        weight_GNL = _attention(q_GND, _keys(dense, layer, k_GTD), rows, dense.length, call)
        group = q_HTD.shape[0] // k_GTD.shape[0]
        if held is not None:
            kept_GNL = _held(held, layer, q_GND, weight_GNL, group, len(rows))
            mass[layer] = _by_step(weight_GNL.masked_fill(~kept_GNL, 0.0).sum(-1, keepdim=True), group)[..., 0]
        top[layer] = _by_step(weight_GNL[..., :base], group).topk(min(count, base), dim=-1).indices

    decoder.watch(dense, ids, watch)
    return Looked(mass, top)


def diagnosed(looked: Looked, then: Looked, before: Looked | None, steps: tuple[int, ...], count: int) -> Diagnostics:
    """A turn's diagnostics; `then` is the moment of compression, `before` the end of the turn before."""
    layers = tuple(sorted(looked.top))
    return Diagnostics(
        top=count,
        layers=layers,
        steps=steps,
        mass=tuple(_plain(looked.mass[layer]) for layer in layers),
        since_compression=tuple(_plain(overlap(looked.top[layer], then.top[layer][:, :1])) for layer in layers),
        since_turn_before=None
        if before is None
        else tuple(_plain(overlap(looked.top[layer], before.top[layer][:, :1])) for layer in layers),
    )


def overlap(here_GSB: Tensor, there_G1B: Tensor) -> Tensor:
    """The share of positions that two choices of B have in common: `[G, S]`."""
    same_GSBB = here_GSB.unsqueeze(-1) == there_G1B.unsqueeze(-2)
    return same_GSBB.any(-1).float().mean(-1)


def _rows(q_HTD: Tensor, rows: Sequence[int], kv_heads: int) -> Tensor:
    q_HSD = q_HTD[:, list(rows)]
    return q_HSD.reshape(kv_heads, -1, q_HSD.shape[-1]).float()


def _keys(dense: View, layer: int, new_GTD: Tensor) -> Tensor:
    held = dense.layers[layer]
    parts = [segment.keys(dense.length) for segment in held if isinstance(segment, DenseSegment)]
    if len(parts) < len(held):
        raise RuntimeError(f"layer {layer} of the dense cache is not dense")
    return torch.cat([*parts, new_GTD], dim=1).float()


def _attention(q_GND: Tensor, k_GLD: Tensor, rows: Sequence[int], length: int, call: Call) -> Tensor:
    score_GNL = torch.matmul(q_GND, k_GLD.transpose(1, 2)) * call.scale
    if call.softcap is not None:
        score_GNL = torch.tanh(score_GNL / call.softcap) * call.softcap
    own_S = torch.tensor(rows, device=q_GND.device) + length
    own_N = own_S.repeat(q_GND.shape[1] // len(rows))
    later_NL = torch.arange(k_GLD.shape[1], device=q_GND.device) > own_N[:, None]
    score_GNL.masked_fill_(later_NL, -torch.inf)
    if call.sinks_H is None:
        return torch.softmax(score_GNL, dim=-1)
    sink_GN1 = call.sinks_H.float().reshape(len(q_GND), -1, 1).repeat_interleave(len(rows), dim=1)
    return torch.softmax(torch.cat([score_GNL, sink_GN1], dim=-1), dim=-1)[..., :-1]


def _held(held: View, layer: int, q_GND: Tensor, weight_GNL: Tensor, group: int, steps: int) -> Tensor:
    """Which positions the method's segments hold, or read for these queries; what comes after them is all there."""
    rows = q_GND.shape[1]
    lo_N = torch.zeros(rows, dtype=torch.long, device=q_GND.device)
    visible = Visible.of(lo_N, torch.full_like(lo_N, held.length), group, steps)
    kept_GNL = torch.ones_like(weight_GNL, dtype=torch.bool)
    kept_GNL[..., : held.length] = False
    for segment in held.layers[layer]:
        stop = min(segment.stop, held.length)
        kept_GNL[..., segment.start : stop] = segment.reads(q_GND, visible)[..., : stop - segment.start]
    return kept_GNL


def _by_step(value_GNX: Tensor, group: int) -> Tensor:
    """The mean over a KV head's query heads: `[G, S, X]`."""
    return value_GNX.reshape(value_GNX.shape[0], group, -1, value_GNX.shape[-1]).mean(dim=1)


def _plain(value_GS: Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(round(value, DIGITS) for value in head) for head in value_GS.tolist())
