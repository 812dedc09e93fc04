"""Answers of one session against transformers' own loop, and one branch against its `generate`."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from typing import Any

import torch
from transformers import AutoModelForCausalLM, DynamicCache

from bench import stage
from bench.families import LENGTH
from bench.rows import Goal, Row, interleaved
from bench.stage import Answers
from scbench.engine.answer import Deadline
from scbench.engine.answering import Setting
from scbench.engine.cell_run import CellRun, start
from scbench.engine.config import EngineConfig
from scbench.engine.dense_reference import DenseReference
from scbench.engine.job import Job
from scbench.engine.source import Source
from scbench.methods.generation.dense import Dense
from scbench.models import embedded

PEER = f"transformers {version('transformers')}, sdpa"
NEVER = Deadline(None)


@cache
def peer() -> Any:
    """The same weights under transformers' own attention."""
    folder = embedded.ensure("embedded:smollm2_135m")
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa").eval()


def rows(repeats: int, length: int = LENGTH) -> Iterator[Row]:
    """Branches in both modes, then one branch."""
    shape = f"SmolLM2 fp32, {length} + questions, 32 new tokens, {PEER}"
    for mode, goal in (("multi_request", Goal(0.35, 0.25)), ("multi_turn", Goal(0.40, 0.40))):
        turns = stage.dialogue(length)
        ours, theirs = after_the_prefix(turns, mode), _theirs(turns, mode)
        seconds = interleaved({"ours": ours, "theirs": theirs}, repeats)
        name = f"five branches of {mode}, prefix cached ÷ transformers' loop with a copied cache"
        same = stage.agreement(ours(), theirs())
        yield Row(name, *_pair(seconds), goal, f"{shape}, width 5", repeats, agreement=same)
    one = stage.dialogue(length, 1)
    ours, theirs = after_the_prefix(one, "multi_turn"), _theirs(one, "multi_turn")
    seconds = interleaved({"ours": ours, "theirs": theirs}, repeats)
    name = "dense decode of one branch ÷ transformers' generate"
    yield Row(
        name,
        *_pair(seconds),
        Goal(1.05, 0.6),
        f"{shape}, width 1",
        repeats,
        agreement=stage.agreement(ours(), theirs()),
    )


def prefill(repeats: int, length: int = LENGTH) -> Iterator[Row]:
    """A base in chunks against transformers' in one pass."""
    ids = list(stage.dialogue(length).context)
    job = stage.job("dense", stage.dialogue(length), "multi_request", Dense())

    def ours() -> None:
        source = Source(stage.decoder(), None, 0, len(ids))
        source.reach(job.layout, NEVER, lambda *_: None)

    def theirs() -> None:
        peer()(input_ids=torch.tensor([ids]), past_key_values=DynamicCache(), logits_to_keep=1)

    with torch.inference_mode():
        seconds = interleaved({"ours": ours, "theirs": theirs}, repeats, warm=False)
    name = f"prefill in chunks of {EngineConfig().chunk} ÷ transformers' whole prefill"
    yield Row(name, *_pair(seconds), Goal(1.05, 1.0), f"SmolLM2 fp32, {len(ids)} tokens, {PEER}", repeats)


def _pair(seconds: dict[str, float]) -> tuple[float, float, float]:
    return seconds["ours"], seconds["theirs"], seconds["ours"] / seconds["theirs"]


def after_the_prefix(talk: Any, mode: str) -> Any:
    """Everything after the shared prefix: later prompts, questions, and all answers as a batch."""
    job: Job = stage.job("dense", talk, mode, Dense())
    decoder = stage.decoder()
    setting = Setting(decoder, frozenset(), EngineConfig(fidelity="none"), lambda *_: None)
    source = Source(decoder, None, 0, job.layout.base)
    decoder.adapter.prepare(1 << 15)
    with torch.inference_mode():
        source.reach(job.layout, NEVER, lambda *_: None)

    def run() -> Answers:
        with torch.inference_mode():
            cell: CellRun = start(setting, source, job, job.layout, NEVER, DenseReference(setting))
            return [list(turn.answer.tokens) for turn in cell.together()]

    return run


def _theirs(talk: Any, mode: str) -> Any:
    """The loop that one writes with transformers: a copy of the prefix's cache per question, then `generate`.

    Where there is one question only, the cache is cut back afterwards instead of being copied.
    """
    one = len(talk.opening) == 1
    with torch.inference_mode():
        prefix = [*talk.context, *(talk.opening[0] if mode == "multi_turn" else ())]
        cached = DynamicCache()
        peer()(input_ids=torch.tensor([prefix[:-1]]), past_key_values=cached, logits_to_keep=1)

    def run() -> Answers:
        found = []
        with torch.inference_mode():
            cache, known = cached, list(prefix)
            for turn in range(len(talk.opening)):
                if mode == "multi_request":
                    prompt = [*prefix, *talk.opening[turn]]
                    found.append(stage.generate(peer(), prompt, past_key_values=copy.deepcopy(cached)))
                    continue
                if turn:
                    new = [*talk.gold[turn - 1], *talk.followup[turn]]
                    fed = [known[-1], *new[:-1]]
                    peer()(input_ids=torch.tensor([fed]), past_key_values=cache, logits_to_keep=1)
                    known += new
                own = cache if one else copy.deepcopy(cache)
                found.append(stage.generate(peer(), known, past_key_values=own))
            if longer := cached.get_seq_length() - (len(prefix) - 1):
                cached.crop(-longer)
        return found

    return run
