"""A context put together from chunks that were read ahead, against reading it whole."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import replace

import torch

from bench import stage
from bench.branches import NEVER
from bench.families import LENGTH
from bench.rows import Goal, Row
from scbench.engine.config import KL
from scbench.engine.source import Plan, Source
from scbench.methods.base import Base
from scbench.methods.generation.dense import Dense
from scbench.methods.retrieval.cacheblend import CacheBlend
from scbench.modes import MULTI_REQUEST
from scbench.prompts.dialogue import Dialogue


def rows(repeats: int, length: int = LENGTH) -> Iterator[Row]:
    """CacheBlend: what is left to do when the context is known, and what was done ahead."""
    talk, method = stage.dialogue(length), CacheBlend()
    reused = Plan(method, reused=Base(len(talk.context), talk.protected))
    blending, ahead, whole = [], [], []
    with torch.inference_mode():
        for _ in range(repeats):
            blended = _read(talk, reused)
            blending.append(blended.seconds)
            ahead.append(blended.precompute)
            whole.append(_read(talk, None).seconds)
    full = statistics.median(whole)
    shape = f"SmolLM2 fp32, {len(talk.context)} tokens, chunks of {method.chunk}"
    for what, taken, goal in (
        (f"comparing one layer, computing {method.share:.0%} again", statistics.median(blending), Goal(0.45, 0.45)),
        ("reading the chunks, ahead", statistics.median(ahead), None),
    ):
        name = f"CacheBlend: {what} ÷ dense prefill in chunks"
        found = "" if goal is None else _agreement(talk, method)
        yield Row(name, taken, full, taken / full, goal, shape, repeats, agreement=found)


def _read(talk: Dialogue, plan: Plan | None) -> Source:
    """The context, prefilled as the plan says; it tells its times, those of what was done ahead apart."""
    job = stage.job("", talk, MULTI_REQUEST, Dense())
    decoder = stage.decoder()
    decoder.adapter.prepare(1 << 15)
    source = Source(decoder, plan, 0, job.layout.base)
    source.reach(job.layout, NEVER, lambda *_: None)
    return source


def _agreement(talk: Dialogue, method: CacheBlend) -> str:
    """Answers and predictions of the gold answers beside the dense cache's."""
    cells = [stage.job(name, talk, MULTI_REQUEST, one) for name, one in (("dense", Dense()), ("blend", method))]
    turns = stage.answers([replace(cell, gold=talk.gold) for cell in cells], fidelity=KL)
    said = {name: [list(turn.answer.tokens) for turn in each] for name, each in turns.items()}
    apart = [turn.fidelity.kl_to_dense for turn in turns["blend"] if turn.fidelity is not None]
    return (
        f"{stage.agreement(said['blend'], said['dense'])}, {stage.in_common(turns['blend'], turns['dense']):.1f} of "
        f"{stage.NEW_TOKENS} tokens in common; KL to dense {statistics.mean(kl for kl in apart if kl is not None):.3g}"
    )
