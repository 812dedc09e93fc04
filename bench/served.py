"""Answers of one session against vLLM on a CPU, which runs beside this process in an interpreter of its own."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from bench import stage
from bench.branches import after_the_prefix
from bench.rows import Goal, Row, interleaved
from bench.stage import Answers
from scbench.engines.protocol import Ask, Client, Prompt
from scbench.engines.vllm import VllmOptions
from scbench.methods.generation.dense import Dense
from scbench.models.model import ModelConfig
from scbench.prompts.dialogue import Dialogue

LENGTH = 4096
GOAL = Goal(1.0, 0.7)
VLLM = VllmOptions(kv_gib=2)
MODEL = ModelConfig("embedded:smollm2_135m", dtype="float32")


def rows(repeats: int, length: int = LENGTH) -> Iterator[Row]:
    """Five answers of a multi-request session from nothing, and with the context's KV at hand."""
    if not Path(VLLM.python).is_file():
        sys.stderr.write(f"  left out: no {VLLM.python}; {VLLM.install}\n")
        return
    talk = stage.dialogue(length)
    client = VLLM.connect(MODEL, Path("results/bench-vllm.log"))
    try:
        about = client.about.provenance
        shape = (
            f"SmolLM2 fp32, {length} + questions, 32 new tokens, vLLM {about['engine_version']} on {about['device']}"
        )
        shape += f", ours on cpu x{torch.get_num_threads()}"
        pairs: dict[str, tuple[Callable[[], Answers], Callable[[], Answers]]] = {
            "prefill included": (_ours(talk), _whole(client, talk)),
            "context's KV at hand": (after_the_prefix(talk, "multi_request"), _asked(client, talk)),
        }
        for what, (ours, theirs) in pairs.items():
            same = stage.agreement(ours(), theirs())
            seconds = interleaved({"ours": ours, "theirs": theirs}, repeats, warm=False)
            ratio = seconds["ours"] / seconds["theirs"]
            name = f"five answers of multi_request, {what} ÷ vLLM's with prefix caching"
            yield Row(name, seconds["ours"], seconds["theirs"], ratio, GOAL, shape, repeats, agreement=same)
    finally:
        client.close()


def _ours(talk: Dialogue) -> Callable[[], Answers]:
    """The whole session, from nothing."""

    def run() -> Answers:
        (turns,) = stage.answers([stage.job("dense", talk, "multi_request", Dense())]).values()
        return [list(turn.answer.tokens) for turn in turns]

    return run


def _whole(client: Client, talk: Dialogue) -> Callable[[], Answers]:
    """A session under a new key every time: nothing of it is cached."""
    keys = (f"whole {number}" for number in itertools.count())
    return lambda: _answers(client, talk, next(keys))


def _asked(client: Client, talk: Dialogue) -> Callable[[], Answers]:
    """The same session again and again: its context is cached, and so are the whole blocks of its questions."""
    _answers(client, talk, "again")
    return lambda: _answers(client, talk, "again")


def _answers(client: Client, talk: Dialogue, key: str) -> Answers:
    prompts = tuple(
        Prompt(turn, talk.context + question, stage.NEW_TOKENS) for turn, question in enumerate(talk.opening)
    )
    base = len(talk.context)
    replies = client.answer(Ask(key, prompts, (), base, base), None, lambda *_: None)
    return [list(reply.tokens) for reply in sorted(replies, key=lambda reply: reply.turn)]
