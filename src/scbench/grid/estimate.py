"""How long a family takes and how much memory it needs, from the shape of the model and the size of the sessions.

The formula, for one session with T context tokens and B turns of up to N new tokens each, on a model with P parameters,
L layers, H attention heads and G key-value heads of D values, with b bytes per value:

    prefill   = (2·P·T + 2·L·H·D·T²) / flops              once per session, shared by all cells of the family
    extension = 2·P·B·(N + QUESTION) / flops              per cell: questions, and answers that are fed back
    decode    = N · (b·P + B·b·2·L·G·D·T) / bandwidth     per cell: one batch of B branches, N steps
    memory    = RUNTIME + b·P + (1 + COPIES)·b·2·L·G·D·T

Matrix products cost 2 operations per parameter and token; causal attention costs 4·H·D per layer and pair, for half
of the T² pairs; a decoding step is bound by reading weights and cache. Methods that keep less are faster: it is an
upper bound. The CPU's rates were measured with SmolLM2-135M in fp32 on two cores (400 tokens/s of prefill, 12 steps/s);
those of a GPU are a data-sheet's (A100) at half of its peak, not measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

QUESTION = 64  # tokens of a question with its template
RUNTIME = 2**30  # bytes of interpreter, libraries and activations
COPIES = 1  # a method's own form of the cache beside the trunk's


@dataclass(frozen=True)
class Shape:
    """The sizes of a decoder-only transformer; `value_bytes` is the size of one stored number."""

    parameters: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    value_bytes: int

    @property
    def kv_bytes(self) -> int:
        """Bytes of keys and values of one token over all layers."""
        return 2 * self.layers * self.kv_heads * self.head_dim * self.value_bytes


@dataclass(frozen=True)
class Device:
    """What a device reaches: operations per second in matrix products, bytes per second when it reads memory."""

    name: str
    flops: float
    bandwidth: float


@dataclass(frozen=True)
class Work:
    """The sizes of a family: its cells and sessions, the tokens of a context, turns, and new tokens per turn."""

    cells: int
    sessions: int
    context: int
    turns: int
    new_tokens: int


@dataclass(frozen=True)
class Estimate:
    """Seconds and bytes."""

    seconds: float
    memory: int


GPU = Device("cuda", 1.5e14, 1.0e12)


def cpu(cores: int) -> Device:
    """A CPU with so many cores; bandwidth hardly grows with them."""
    return Device("cpu", 5.4e10 * cores, 6.5e9)


def estimate(shape: Shape, work: Work, device: Device) -> Estimate:
    """The formula of this module's docstring."""
    tokens, steps = work.context, work.new_tokens
    attention = 2 * shape.layers * shape.heads * shape.head_dim * tokens**2
    prefill = (2 * shape.parameters * tokens + attention) / device.flops
    extension = 2 * shape.parameters * work.turns * (steps + QUESTION) / device.flops
    weights = shape.parameters * shape.value_bytes
    decode = steps * (weights + work.turns * tokens * shape.kv_bytes) / device.bandwidth
    seconds = work.sessions * (prefill + work.cells * (extension + decode))
    return Estimate(seconds, RUNTIME + weights + (1 + COPIES) * tokens * shape.kv_bytes)


def shape_of(config: Mapping[str, Any], value_bytes: int) -> Shape:
    """The shape that a model's `config.json` describes; raises `KeyError` if it is not a plain transformer's."""
    config = config.get("text_config", config)
    layers, hidden, heads = config["num_hidden_layers"], config["hidden_size"], config["num_attention_heads"]
    kv_heads = config.get("num_key_value_heads") or heads
    head_dim = config.get("head_dim") or hidden // heads
    attention = hidden * head_dim * (2 * heads + 2 * kv_heads)
    mlp = 3 * hidden * config["intermediate_size"]
    embedding = config["vocab_size"] * hidden * (1 if config.get("tie_word_embeddings", True) else 2)
    return Shape(layers * (attention + mlp) + embedding, layers, heads, kv_heads, head_dim, value_bytes)
