"""Questions over one context on a state-space model, whose state is kept, against reading the prompt for each."""

from __future__ import annotations

import random
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import torch
from transformers import AutoModelForCausalLM, Mamba2Config

from bench import stage
from bench.rows import Goal, Row, interleaved
from bench.stage import Answers
from scbench.engine.adapter import Adapter
from scbench.engine.answer import Decoder
from scbench.engine.config import EngineConfig
from scbench.kernels.choose import Kernels
from scbench.methods.generation.dense import Dense
from scbench.modes import MULTI_REQUEST
from scbench.prompts.dialogue import Dialogue

LENGTH = 8192
QUESTION = 32
VOCABULARY = 8192
SIZES = {"num_hidden_layers": 8, "hidden_size": 512, "num_heads": 16, "head_dim": 64, "state_size": 64}


def rows(repeats: int, length: int = LENGTH) -> Iterator[Row]:
    """The whole session: the context, five questions, five answers."""
    talk, plain = _talk(length), _model()
    engine = Decoder(Adapter(_model()), Kernels(stage.CPU, torch.float32), EngineConfig().chunk)
    job = stage.job("dense", talk, MULTI_REQUEST, Dense())

    def ours() -> Answers:
        return [list(turn.answer.tokens) for turn in stage.answers([job], engine=engine)["dense"]]

    def theirs() -> Answers:
        return [stage.generate(plain, [*talk.context, *question]) for question in talk.opening]

    same = stage.agreement(ours(), theirs())
    seconds = interleaved({"ours": ours, "theirs": theirs}, repeats, warm=False)
    sizes = "{num_hidden_layers} layers of {hidden_size}, {num_heads} heads of {head_dim}, state {state_size}"
    yield Row(
        f"Mamba-2, {stage.TURNS} questions over one context ÷ transformers' generate over the prompt of each",
        *(seconds["ours"], seconds["theirs"], seconds["ours"] / seconds["theirs"]),
        Goal(0.30, 0.30),
        f"random weights, {sizes.format(**SIZES)}, fp32, {length} + {QUESTION} tokens, {stage.NEW_TOKENS} new ones, "
        f"transformers {version('transformers')} without kernels",
        repeats,
        agreement=same,
    )


def _model() -> Any:
    """The same weights every time."""
    torch.manual_seed(0)
    ids = {"pad_token_id": None, "bos_token_id": 1, "eos_token_id": 2}
    config = Mamba2Config(**SIZES, **ids, vocab_size=VOCABULARY, n_groups=1, chunk_size=64)
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


def _talk(length: int) -> Dialogue:
    """Random tokens."""
    source = random.Random(0)

    def some(tokens: int) -> tuple[int, ...]:
        return tuple(source.randrange(3, VOCABULARY) for _ in range(tokens))

    questions = tuple(some(QUESTION) for _ in range(stage.TURNS))
    return Dialogue(some(length), questions, questions, questions, frozenset(), ())
