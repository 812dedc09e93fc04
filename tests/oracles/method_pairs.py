"""Methods of the engine beside naive ones that should answer the same."""

from oracles import naive_methods
from scbench.methods.compression.kivi import Kivi
from scbench.methods.compression.snapkv import SnapKV
from scbench.methods.compression.streaming_llm import StreamingLLM
from scbench.methods.generation.a_shape import AShape
from scbench.methods.generation.minference import MInference
from scbench.methods.loading.quest import Quest

PROTECTED = frozenset(range(4))
MINFERENCE = {"vertical": 9, "slash": 7, "last": 6, "first": 2, "near": 3, "block": 4}

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
    "minference": (MInference(**MINFERENCE), naive_methods.MInference(**MINFERENCE)),
    "minference+snapkv": (
        (MInference(**MINFERENCE), SnapKV(30, 7, 5)),
        naive_methods.Both(naive_methods.MInference(**MINFERENCE), naive_methods.SnapKV(30, 7, 5, "mean", PROTECTED)),
    ),
    "a_shape+quest": (
        (AShape(5, 17), Quest(24, 4, 0)),
        naive_methods.Both(naive_methods.AShape(5, 17), naive_methods.Quest(24, 4, 0)),
    ),
}
