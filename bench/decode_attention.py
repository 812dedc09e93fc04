"""One decoded token's attention in one layer: pages, rounded keys and an index against the dense cache."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch
from torch import Tensor

from bench import stage
from bench.rows import Goal, Row, interleaved
from scbench.kernels.choose import Kernels
from scbench.kernels.spec import Spec, Visible
from scbench.methods.base import Base, Layer
from scbench.methods.loading.retrieval_attention import RetrievalAttention
from scbench.models.cache import cache_folder
from scbench.segments.base import Segment
from scbench.segments.dense import DenseSegment
from scbench.segments.indexed import IndexedSegment
from scbench.segments.paged import PagedSegment, Paging
from scbench.segments.quantised import Rounding, quantise

TOKENS = 32768
NUMBER = 3
CALLS = 20  # per timing, since one call takes a millisecond
ASKED = 64  # queries per head with which what the index finds is compared


def rows(repeats: int) -> Iterator[Row]:
    """Quest, KIVI and RetrievalAttention with one and with five branches."""
    real = stage.layer(TOKENS, NUMBER)
    heads, kv_heads, dim = real.q_HTD.shape[0], real.k_GTD.shape[0], real.q_HTD.shape[2]
    dense = DenseSegment(0, real.k_GTD, real.v_GTD)
    paged = PagedSegment.of(dense, Paging(16, 64, together=True))
    rounded = quantise(dense, Rounding(2, 32, 32))
    began = time.perf_counter()
    graph = _indexed(dense, "hnsw", heads // kv_heads)
    built = f"index built in {time.perf_counter() - began:.1f} s"
    kernels = Kernels(stage.CPU, torch.float32, "auto", cache_folder() / "kernels")
    mass = f"{_mass(real, graph, _indexed(dense, 'exact', heads // kv_heads)):.3f} of the exact top-k's mass"
    shape = f"32K tokens, {heads} heads over {kv_heads}, {dim}, layer {NUMBER} of SmolLM2 on Retr.KV"
    candidates: dict[str, tuple[Segment, Goal, str]] = {
        "quest": (paged, Goal(0.30, 0.15), "Quest, 1K of 32K, pages of 16 per KV head ÷ dense decode attention"),
        "kivi": (rounded, Goal(4, 1.5), "KIVI 2 bits ÷ dense fp32 decode attention"),
        "graph": (graph, Goal(0.6, 0.6), "RetrievalAttention (HNSW, k = 100) at 32K ÷ dense decode attention"),
    }
    for branches in (1, 5):
        q_GND, visible = _queries(real, branches)
        spec = Spec(real.scale)

        def read(segment: Segment, q_GND: Tensor = q_GND, visible: Visible = visible, spec: Spec = spec) -> Tensor:
            return segment.attend(q_GND, visible, spec, kernels).out_GND

        def many(segment: Segment, read=read) -> None:  # type: ignore[no-untyped-def]
            for _ in range(CALLS):
                read(segment)

        segments = {"dense": dense, **{name: segment for name, (segment, _, _) in candidates.items()}}
        runs = {name: lambda many=many, segment=segment: many(segment) for name, segment in segments.items()}
        seconds = interleaved(runs, repeats)
        base = seconds["dense"] / CALLS
        here = f"{shape}, width {branches}"
        also = {"quest": f", recall {_recall(real, paged, q_GND, visible):.3f}", "graph": f", {mass}, {built}"}
        for name, (segment, goal, what) in candidates.items():
            found = f"error {_error(read(segment), read(dense)):.3f}{also.get(name, '')}"
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
    weight_GNL = torch.softmax(torch.matmul(q_GND, real.k_GTD.transpose(1, 2)) * real.scale, dim=-1)
    return float((weight_GNL * paged.reads(q_GND, visible)).sum(-1).mean())


def _indexed(dense: DenseSegment, index: str, group: int) -> IndexedSegment:
    made = RetrievalAttention(k=100, index=index, group="each").load(dense, Layer(NUMBER, 30, group), Base(TOKENS))
    if not isinstance(made, IndexedSegment):
        raise RuntimeError("retrieval_attention made no index")
    return made


def _mass(real: stage.LayerTensors, graph: IndexedSegment, exact: IndexedSegment) -> float:
    """Dense attention's weight on what the index finds, as a share of its weight on the best tokens."""
    q_GND, visible = _queries(real, ASKED)
    weight_GNL = torch.softmax(torch.matmul(q_GND, real.k_GTD.transpose(1, 2)) * real.scale, dim=-1)
    found, best = (
        weight_GNL.gather(2, place_GNK.clamp(min=0)).masked_fill(place_GNK < 0, 0.0).sum()
        for place_GNK in (one.choose(q_GND, visible) for one in (graph, exact))
    )
    return float(found / best)
