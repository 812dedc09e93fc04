"""Methods of the engine beside naive ones that should answer the same."""

import hashlib
from pathlib import Path

import torch

from oracles import naive_methods, naive_retrieval
from oracles.naive_minference_table import TableMInference
from oracles.naive_rocketkv import RocketKV as NaiveRocketKV
from oracles.naive_turboquant import TurboQuant as NaiveTurboQuant
from scbench.methods.bounds.oracle_topk import OracleTopK
from scbench.methods.bounds.random_tokens import RandomTokens
from scbench.methods.compression.kivi import Kivi
from scbench.methods.compression.pyramidkv import PyramidKV
from scbench.methods.compression.snapkv import SnapKV
from scbench.methods.compression.streaming_llm import StreamingLLM
from scbench.methods.compression.turboquant import TurboQuant
from scbench.methods.generation.a_shape import AShape
from scbench.methods.generation.minference import MInference
from scbench.methods.generation.tri_shape import TriShape
from scbench.methods.loading.quest import Quest
from scbench.methods.loading.retrieval_attention import RetrievalAttention
from scbench.methods.loading.rocketkv import RocketKV

PROTECTED = frozenset(range(4))
TABLE = str(Path(__file__).parents[1] / "data" / "minference_table.json")
LOOKING = {"last": 6, "first": 2, "near": 3, "block": 4}
MINFERENCE = {"vertical": 9, "slash": 7, "last": 6, "first": 2, "near": 3, "block": 4}


def drawn(layer, tokens, heads):
    """What `RandomTokens(26, 5, 7)` keeps: by the same numbers, drawn and ranked again."""
    generator = torch.Generator().manual_seed(
        int(hashlib.sha256(f"(7, {layer}, {tokens})".encode()).hexdigest()[:14], 16)
    )
    kept = []
    for numbers in torch.rand(heads, tokens, generator=generator).tolist():
        always = PROTECTED | set(range(tokens - 5, tokens))
        others = sorted(set(range(tokens)) - always, key=lambda place: -numbers[place])
        kept.append(always | set(others[: 26 - len(always)]))
    return kept


METHODS = {
    "streaming_llm": (StreamingLLM(5, 24), naive_methods.Streaming(5, 24)),
    "snapkv": (SnapKV(30, 7, 5), naive_methods.SnapKV(30, 7, 5, "mean", PROTECTED)),
    "snapkv_max": (SnapKV(26, 4, 3, "max"), naive_methods.SnapKV(26, 4, 3, "max", PROTECTED)),
    "snapkv_each": (SnapKV(25, 5, 5, "each"), naive_methods.SnapKV(25, 5, 5, "each", PROTECTED)),
    "kivi": (Kivi(2, 8, 8), naive_methods.Kivi(2, 8, 8)),
    "kivi4": (Kivi(4, 16, 3), naive_methods.Kivi(4, 16, 3)),
    "quest": (Quest(24, 4, 0), naive_methods.Quest(24, 4, 0)),
    "quest_each": (Quest(20, 5, 1, "each"), naive_methods.Quest(20, 5, 1, "each")),
    "a_shape": (AShape(5, 17), naive_methods.AShape(5, 17)),
    "tri_shape": (TriShape(5, 17, 9), naive_methods.TriShape(5, 17, 9)),
    # a window of 7 and 4 protected tokens stay everywhere; of the other 15 on average layers have 29, 15 and 1
    "pyramidkv": (PyramidKV(26, 7, 5, beta=9), naive_methods.Pyramid((40, 26, 12), 7, 5, "mean", PROTECTED)),
    "pyramidkv_each": (PyramidKV(16, 3, 3, "each", 4), naive_methods.Pyramid((23, 16, 9), 3, 3, "each", PROTECTED)),
    "random": (RandomTokens(26, 5, 7), naive_methods.Drawn(drawn)),
    "oracle_topk": (OracleTopK(9), naive_methods.Oracle(9, "mean")),
    "oracle_topk_each": (OracleTopK(7, "each"), naive_methods.Oracle(7, "each")),
    "minference": (MInference(**MINFERENCE), naive_methods.MInference(**MINFERENCE)),
    "minference+snapkv": (
        (MInference(**MINFERENCE), SnapKV(30, 7, 5)),
        naive_methods.Both(naive_methods.MInference(**MINFERENCE), naive_methods.SnapKV(30, 7, 5, "mean", PROTECTED)),
    ),
    "a_shape+quest": (
        (AShape(5, 17), Quest(24, 4, 0)),
        naive_methods.Both(naive_methods.AShape(5, 17), naive_methods.Quest(24, 4, 0)),
    ),
    "turboquant": (TurboQuant(2), NaiveTurboQuant(2)),
    "turboquant_prod": (TurboQuant(3, "prod", 5, 1), NaiveTurboQuant(3, "prod", 5, 1)),
    "retrieval_attention": (RetrievalAttention(11, 3, 6, "each"), naive_retrieval.Retrieval(11, 3, 6)),
    "retrieval_attention_mean": (RetrievalAttention(9, 4, 5, "mean"), naive_retrieval.Retrieval(9, 4, 5, "mean")),
    "minference_table": (MInference(table=TABLE, **LOOKING), TableMInference(TABLE, **LOOKING)),
    "rocketkv": (RocketKV(10, 4, 5), NaiveRocketKV(10, 4, 5)),
    "rocketkv_wide": (RocketKV(26, 11, 3), NaiveRocketKV(26, 11, 3)),
}
