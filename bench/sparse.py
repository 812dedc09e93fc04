"""Sparse prefill attention of one layer against dense flash attention, on a real prompt's tensors."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from bench import stage
from bench.rows import Goal, Row, interleaved
from scbench.kernels import sparse_prefill, torch_cpu
from scbench.kernels.plans import Band, Plan
from scbench.methods.base import Layer, Prompt
from scbench.methods.generation.minference import MInference

TOKENS = 16384
NUMBER = 3  # of the layer
BAND = Band(128, 1024)
LINES = MInference(vertical=256, slash=512, last=64, first=30, near=100, block=64)
PEER = f"torch {torch.__version__} flash attention"
SAMPLED = 64  # rows of which the recall is measured


def rows(repeats: int) -> Iterator[Row]:
    """A-shape, then MInference."""
    real = stage.layer(TOKENS, NUMBER)
    heads, kv_heads, dim = real.q_HTD.shape[0], real.k_GTD.shape[0], real.q_HTD.shape[2]
    shape = f"16K tokens, {heads} heads over {kv_heads}, {dim}, layer {NUMBER} of SmolLM2 on Retr.KV, {PEER}"

    def dense() -> None:
        torch_cpu.attend_causal(real.q_HTD, real.k_GTD, real.v_GTD, real.scale)

    def execute(plan: Plan) -> Tensor:
        return sparse_prefill.attend(real.q_HTD, real.k_GTD, real.v_GTD, plan, real.scale, 0, TOKENS)

    def lines() -> Plan:
        plan = LINES.prefill(Prompt(real.q_HTD, real.k_GTD, 0, TOKENS, real.scale), Layer(NUMBER, 30))
        if plan is None:
            raise RuntimeError("minference did not plan")
        return plan

    seconds = interleaved({"dense": dense, "band": lambda: execute(BAND), "lines": lambda: execute(lines())}, repeats)
    share = sparse_prefill.density(BAND, 0, TOKENS, TOKENS)
    reached = seconds["dense"] / seconds["band"] * share
    found = f"density {share:.3f}, recall {_recall(real, BAND):.3f}"
    name = "A-shape attention (128 + 1024): share of the ideal speed-up over dense"
    yield Row(name, seconds["band"], seconds["dense"], reached, Goal(0.70, 0.85, True), shape, repeats, agreement=found)
    plan = lines()
    share = sparse_prefill.density(plan, 0, TOKENS, TOKENS)
    found = f"density {share:.3f}, recall {_recall(real, plan):.3f}"
    name = "MInference attention, estimation included: speed-up over dense"
    speedup = seconds["dense"] / seconds["lines"]
    yield Row(name, seconds["lines"], seconds["dense"], speedup, Goal(2, 3, True), shape, repeats, agreement=found)


def _recall(real: stage.LayerTensors, plan: Plan) -> float:
    """The share of dense attention mass that the plan reads, over sampled rows of all heads."""
    heads, group = real.q_HTD.shape[0], real.q_HTD.shape[0] // real.k_GTD.shape[0]
    kept = []
    for row in range(TOKENS // SAMPLED - 1, TOKENS, TOKENS // SAMPLED):
        mask_HL = plan.mask(row, row + 1, TOKENS, torch.device("cpu"))[:, 0].expand(heads, -1)
        k_HLD = real.k_GTD[:, : row + 1].repeat_interleave(group, dim=0)
        weight_HL = torch.softmax(torch.einsum("hd,hld->hl", real.q_HTD[:, row], k_HLD) * real.scale, dim=-1)
        kept.append((weight_HL * mask_HL).sum(-1).mean())
    return float(torch.stack(kept).mean())
