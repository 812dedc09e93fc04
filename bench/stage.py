"""What is measured with: SmolLM2 in float32, sessions of Retr.KV, and keys, values and queries of a real prompt."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from scbench.engine.adapter import Adapter, Call
from scbench.engine.answer import Decoder
from scbench.engine.config import NONE, EngineConfig
from scbench.engine.job import Job, Turn
from scbench.engine.session import run_session
from scbench.kernels import torch_cpu
from scbench.kernels.choose import Kernels
from scbench.methods.base import Method
from scbench.methods.budget import Budget
from scbench.methods.compose import compose
from scbench.models.cache import cache_folder
from scbench.models.model import LoadedModel, ModelConfig, load
from scbench.modes import Mode, build_layout
from scbench.prompts.dialogue import Dialogue, build_dialogue
from scbench.results.divergence import common_tokens
from scbench.tasks.retr_kv import RetrKV

CPU = torch.device("cpu")
NEW_TOKENS = 32
TURNS = 5
Answers = list[list[int]]


@cache
def model() -> LoadedModel:
    """SmolLM2-135M."""
    return load(ModelConfig("embedded:smollm2_135m", dtype="float32"), CPU)


@cache
def decoder() -> Decoder:
    """The engine as `scbench` sets it up."""
    kernels = Kernels(CPU, torch.float32, "auto", cache_folder() / "kernels")
    return Decoder(Adapter(model().model), kernels, EngineConfig().chunk)


@cache
def dialogue(length: int, turns: int = TURNS) -> Dialogue:
    """One session of Retr.KV."""
    task = RetrKV(length=length, turns=turns)
    return build_dialogue(task.generate(0, model().tokenizer), task, model().tokenizer)


def job(name: str, talk: Dialogue, mode: str, method: Method, budget: float | None = None) -> Job:
    """One cell; every answer has exactly `NEW_TOKENS` tokens, since nothing stops it."""
    layout = build_layout(Mode(mode), talk, (NEW_TOKENS,) * len(talk.opening))
    return Job(name, layout, compose([method]), None if budget is None else Budget(budget))


def answers(
    jobs: Sequence[Job], batch: str = "method", engine: Decoder | None = None, fidelity: str = NONE
) -> dict[str, tuple[Turn, ...]]:
    """Run the jobs as a family, on SmolLM2 or another model, and insist that all of them were answered."""
    config = EngineConfig(batch=batch, fidelity=fidelity)
    done = {}
    with torch.inference_mode():
        for one in run_session(engine or decoder(), jobs, frozenset(), config, lambda *_: None, 1 << 15):
            if one.failure is not None:
                raise RuntimeError(f"{one.job.cell}: {one.failure.trace}")
            done[one.job.cell] = one.turns
    return done


def generate(model: Any, prompt: Sequence[int], **more: Any) -> list[int]:
    """transformers' own `NEW_TOKENS` greedy tokens after a prompt; `more` goes to its `generate`."""
    ids = torch.tensor([list(prompt)])
    with torch.inference_mode():
        output = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=NEW_TOKENS,
            min_new_tokens=NEW_TOKENS,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
            **more,
        )
    return [int(token) for token in output[0, ids.shape[1] :]]


def agreement(ours: Answers, theirs: Answers) -> str:
    """How many of the answers are the same."""
    same = sum(one == other for one, other in zip(ours, theirs, strict=True))
    return f"{same} of {len(ours)} answers equal"


def in_common(found: Sequence[Turn], dense: Sequence[Turn]) -> float:
    """How many of an answer's tokens come before the first that is not dense's, on average."""
    pairs = zip(found, dense, strict=True)
    return statistics.mean(common_tokens(one.answer.tokens, other.answer.tokens) for one, other in pairs)


@dataclass(frozen=True)
class LayerTensors:
    """What one layer of the model sees of a real prompt: `q_HTD`, `k_GTD`, `v_GTD` after RoPE, and its scale."""

    q_HTD: Tensor
    k_GTD: Tensor
    v_GTD: Tensor
    scale: float


class _Enough(Exception):
    pass


@cache
def layer(tokens: int, number: int) -> LayerTensors:
    """The tensors of layer `number` on the first `tokens` tokens of a Retr.KV prompt, read at once."""
    ids = torch.tensor([dialogue(tokens + 256).context[:tokens]])
    found: list[LayerTensors] = []

    def attend(index: int, q_BHTD: Tensor, k_BGTD: Tensor, v_BGTD: Tensor, call: Call) -> Tensor:
        if index == number:
            found.append(LayerTensors(*(t[0].contiguous() for t in (q_BHTD, k_BGTD, v_BGTD)), call.scale))
            raise _Enough
        out_HTD, _ = torch_cpu.attend_causal(q_BHTD[0], k_BGTD[0], v_BGTD[0], call.scale)
        return out_HTD.transpose(0, 1).unsqueeze(0)

    adapter = decoder().adapter
    adapter.prepare(tokens)
    with suppress(_Enough):
        adapter.forward(ids, torch.arange(ids.shape[1])[None], attend)
    return found[0]
