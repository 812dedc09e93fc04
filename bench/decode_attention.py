"""One decoded token's attention in one layer: pages and rounded keys against the dense cache."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from bench import stage
from bench.rows import Goal, Row, interleaved
from scbench.kernels.choose import Kernels
from scbench.kernels.spec import Spec, Visible
from scbench.models.embedded import cache_folder
from scbench.segments.base import Segment
from scbench.segments.dense import DenseSegment
from scbench.segments.paged import PagedSegment, Paging
from scbench.segments.quantised import Rounding, quantise

TOKENS = 32768
NUMBER = 3
CALLS = 20  # per timing, since one call takes a millisecond


def rows(repeats: int) -> Iterator[Row]:
    """Quest with one and with five branches, then KIVI."""
    real = stage.layer(TOKENS, NUMBER)
    heads, kv_heads, dim = real.q_HTD.shape[0], real.k_GTD.shape[0], real.q_HTD.shape[2]
    dense = DenseSegment(0, real.k_GTD, real.v_GTD)
    paged = PagedSegment.of(dense, Paging(16, 64, together=True))
    rounded = quantise(dense, Rounding(2, 32, 32))
    kernels = Kernels(stage.CPU, torch.float32, "auto", cache_folder() / "kernels")
    shape = f"32K tokens, {heads} heads over {kv_heads}, {dim}, layer {NUMBER} of SmolLM2 on Retr.KV"
    for branches in (1, 5):
        q_GND, visible = _queries(real, branches)
        spec = Spec(real.scale)

        def read(segment: Segment, q_GND: Tensor = q_GND, visible: Visible = visible, spec: Spec = spec) -> Tensor:
            return segment.attend(q_GND, visible, spec, kernels).out_GND

        def many(segment: Segment, read=read) -> None:  # type: ignore[no-untyped-def]
            for _ in range(CALLS):
                read(segment)

        candidates = {
            "dense": lambda many=many: many(dense),
            "quest": lambda many=many: many(paged),
            "kivi": lambda many=many: many(rounded),
        }
        seconds = interleaved(candidates, repeats)
        base = seconds["dense"] / CALLS
        here = f"{shape}, width {branches}"
        for name, goal, what in (
            ("quest", Goal(0.30, 0.15), "Quest, 1K of 32K, pages of 16 per KV head ÷ dense decode attention"),
            ("kivi", Goal(4, 1.5), "KIVI 2 bits ÷ dense fp32 decode attention"),
        ):
            segment: Segment = paged if name == "quest" else rounded
            found = f"error {_error(read(segment), read(dense)):.3f}"
            if name == "quest":
                found += f", recall {_recall(real, paged, q_GND, visible):.3f}"
            ours = seconds[name] / CALLS
            yield Row(what, ours, base, ours / base, goal if branches == 1 else None, here, repeats, agreement=found)


def stored(repeats: int) -> Iterator[Row]:
    """What a rounded cache of 4K tokens holds, of what bf16 would."""
    real = stage.layer(TOKENS, NUMBER)
    dense = DenseSegment(0, *(part[:, :4096].bfloat16() for part in (real.k_GTD, real.v_GTD)))
    rounded = quantise(dense, Rounding(2, 32, 32))
    rest = dense.since(rounded.stop).footprint(4096).stored
    sizes = [size / 2**10 for size in (rounded.footprint(4096).stored + rest, dense.footprint(4096).stored)]
    name = "KIVI 2 bits: stored bytes ÷ bf16's"
    yield Row(name, *sizes, sizes[0] / sizes[1], Goal(0.20, 0.20), "4K tokens, one layer of SmolLM2", 1, "KiB")


def _queries(real: stage.LayerTensors, branches: int) -> tuple[Tensor, Visible]:
    """The prompt's last queries, one per branch, each of which sees everything."""
    kv_heads = real.k_GTD.shape[0]
    group = real.q_HTD.shape[0] // kv_heads
    q_GgBD = real.q_HTD[:, -branches:].reshape(kv_heads, group, branches, -1)
    q_GND = q_GgBD.transpose(1, 2).reshape(kv_heads, branches * group, -1).contiguous()
    rows = branches * group
    return q_GND, Visible.of(torch.zeros(rows, dtype=torch.long), torch.full((rows,), TOKENS), group, 1)


def _error(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


def _recall(real: stage.LayerTensors, paged: PagedSegment, q_GND: Tensor, visible: Visible) -> float:
    """The share of dense attention mass on the pages that are read."""
    page_GNP = paged.choose(q_GND, visible)
    weight_GNL = torch.softmax(torch.matmul(q_GND, real.k_GTD.transpose(1, 2)) * real.scale, dim=-1)
    size = paged.paging.page
    mass_GNP = weight_GNL.reshape(*weight_GNL.shape[:2], -1, size).sum(-1)
    return float(mass_GNP.gather(2, page_GNP).sum(-1).mean())
