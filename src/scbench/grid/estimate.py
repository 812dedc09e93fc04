"""How long a family takes and how much memory it needs, from the shape of the model and the size of the sessions.

The formula, for one session with T context tokens and B turns of up to N new tokens each, on a model with P parameters,
L layers, H attention heads and G key-value heads of D values, with b bytes per value:

    prefill   = (2·P·T + 2·L·H·D·T²) / flops              `prefills` times a session: once, shared by all cells of the
                                                          family, where the engine can
    extension = 2·P·B·(N + QUESTION) / flops              per cell: questions, and answers that are fed back
    decode    = N · (b·P + B·b·2·L·G·D·T) / bandwidth     per cell: one batch of B branches, N steps; where turns
                                                          come one after the other (`serial`) B·N·(b·P + b·2·L·G·D·T)
    memory    = b·P + (1 + copies)·b·2·L·G·D·T + HIDDEN·b·H·D·T

Matrix products cost 2 operations per parameter and token; causal attention costs 4·H·D per layer and pair, for half
of the T² pairs; a decoding step is bound by reading weights and cache. Memory is weights, the trunk's cache beside
`copies` of it (a method's own form; all cells' where a family is one batch), and a few activations of the whole prompt.
Methods that keep less are faster and smaller: it is an upper bound.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scbench.grid.devices import Device

QUESTION = 64  # tokens of a question with its template
COPIES = 1  # a method's own form of the cache beside the trunk's
OTHER_LAYERS = (
    "expert",
    "mamba",
    "ssm",
    "state_size",
    "linear_",
    "layers_block_type",
    "attn_layer",
)  # in a config's keys
HIDDEN = 4  # activations as large as the hidden states of the whole prompt


@dataclass(frozen=True)
class Shape:
    """The sizes of a decoder-only transformer; `value_bytes` is the size of one stored number.

    `embedding` of the parameters belong to no layer.
    """

    parameters: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    value_bytes: int
    embedding: int = 0

    @property
    def weights(self) -> int:
        """Bytes of the parameters."""
        return self.parameters * self.value_bytes

    @property
    def kv_bytes(self) -> int:
        """Bytes of keys and values of one token over all layers."""
        return 2 * self.layers * self.kv_heads * self.head_dim * self.value_bytes


@dataclass(frozen=True)
class Work:
    """The sizes of a family: its cells and sessions, the tokens of a context, turns, and new tokens per turn.

    `copies` of the cache are held beside the trunk's. `prefills` of a session are needed; `serial` says that its
    answers come one after the other.
    """

    cells: int
    sessions: int
    context: int
    turns: int
    new_tokens: int
    copies: int = COPIES
    prefills: int = 1
    serial: bool = False


@dataclass(frozen=True)
class Estimate:
    """Seconds, and the bytes of weights, caches and activations."""

    seconds: float
    memory: int


def estimate(shape: Shape, work: Work, device: Device) -> Estimate:
    """The formula of this module's docstring."""
    tokens, steps, hidden = work.context, work.new_tokens, shape.heads * shape.head_dim
    prefill = (2 * shape.parameters * tokens + 2 * shape.layers * hidden * tokens**2) / device.flops
    extension = 2 * shape.parameters * work.turns * (steps + QUESTION) / device.flops
    batches, width = (work.turns, 1) if work.serial else (1, work.turns)
    decode = batches * steps * (shape.weights + width * tokens * shape.kv_bytes) / device.bandwidth
    seconds = work.sessions * (work.prefills * prefill + work.cells * (extension + decode))
    return Estimate(seconds, shape.weights + _caches(shape, work) + _activations(shape, work))


def fullest(shape: Shape, work: Work, devices: int) -> int:
    """Bytes on the fullest device of a model whose layers are spread over so many (`scbench.models.placement`).

    The caches lie where their layers do, embeddings on the first device beside the shorter stretch of layers;
    activations of the whole prompt may be on each. With tensor parallelism it is a little less.
    """
    embeddings = shape.embedding * shape.value_bytes
    layer = (shape.weights - embeddings + _caches(shape, work)) / shape.layers
    longest, first = math.ceil(shape.layers / devices) * layer, shape.layers // devices * layer + embeddings
    return math.ceil(max(longest, first)) + _activations(shape, work)


def _caches(shape: Shape, work: Work) -> int:
    return (1 + work.copies) * work.context * shape.kv_bytes


def _activations(shape: Shape, work: Work) -> int:
    return HIDDEN * shape.value_bytes * shape.heads * shape.head_dim * work.context


def shape_of(config: Mapping[str, Any], value_bytes: int) -> Shape:
    """The shape that a model's `config.json` describes; raises `KeyError` if it is not a plain transformer's."""
    config = config.get("text_config", config)
    for key, value in config.items():
        if value and any(word in key for word in OTHER_LAYERS):
            raise KeyError(key)
    layers, hidden, heads = config["num_hidden_layers"], config["hidden_size"], config["num_attention_heads"]
    kv_heads = config.get("num_key_value_heads") or heads
    head_dim = config.get("head_dim") or hidden // heads
    attention = hidden * head_dim * (2 * heads + 2 * kv_heads)
    mlp = 3 * hidden * config["intermediate_size"]
    embedding = config["vocab_size"] * hidden * (1 if config.get("tie_word_embeddings", True) else 2)
    return Shape(layers * (attention + mlp) + embedding, layers, heads, kv_heads, head_dim, value_bytes, embedding)
