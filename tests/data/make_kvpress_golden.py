"""Writes kvpress_golden.json.gz: what NVIDIA's kvpress scores and keeps on small inputs, for tests/methods.

No test runs it. kvpress patches transformers when it is imported and needs transformers below 5.3, so it lives in an
environment of its own. The file was made with Python 3.11 and

    pip install torch==2.13.0 && pip install 'transformers>=5.2,<5.3' requests datasets 'fire<0.7' 'cachetools<6'
    pip install --no-deps kvpress==0.5.5
    python tests/data/make_kvpress_golden.py

(kvpress names more packages, which these presses do not import; --no-deps keeps pip from changing torch.)

Two random Llamas read a prompt under each press, as kvpress means it to be used: hooks behind every attention module.
Written per input and layer: the keys `k_GLD` and the last `ROWS` queries `q_HWD`, both after RoPE, to the last bit of
float32, so that no random numbers are shared; per case and layer: the scores, where they are more than a mask, and the
positions that are left, found by their keys in the cache of a run without a press.
"""

import gzip
import json
from importlib.metadata import version
from pathlib import Path

import torch
from kvpress import PyramidKVPress, SnapKVPress, StreamingLLMPress
from kvpress.utils import get_prerope_query_states
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

ROWS = 8
VOCABULARY = 97
MODELS = {  # (layers, query heads, KV heads, tokens)
    "four layers": (4, 4, 2, 60),
    "groups of three": (2, 6, 2, 37),
}
CASES = [
    (model, press, options)
    for model in MODELS
    for press, options in (
        (StreamingLLMPress, {"compression_ratio": 0.5, "n_sink": 4}),
        (StreamingLLMPress, {"compression_ratio": 0.7, "n_sink": 1}),
        (StreamingLLMPress, {"compression_ratio": 0.25, "n_sink": 0}),
        (StreamingLLMPress, {"compression_ratio": 0.95, "n_sink": 4}),  # fewer tokens than sinks
        (SnapKVPress, {"compression_ratio": 0.5, "window_size": 8, "kernel_size": 5}),
        (SnapKVPress, {"compression_ratio": 0.75, "window_size": 5, "kernel_size": 3}),
        (SnapKVPress, {"compression_ratio": 0.6, "window_size": 4, "kernel_size": 1}),
    )
] + [
    ("four layers", PyramidKVPress, {"compression_ratio": ratio, "window_size": window, "kernel_size": 1, "beta": beta})
    for ratio, window, beta in (
        (0.7, 4, 3),  # whole numbers everywhere: 30, 22, 14, 6 of 60
        (0.5, 8, 20),  # the first layer may keep all before the window
        (0.75, 8, 20),  # the last one would keep less than the window
        (0.4, 8, 20),  # more than half is kept
    )
]


def build(name):
    """A random model with sharp attention, and its prompt."""
    layers, heads, kv_heads, tokens = MODELS[name]
    torch.manual_seed(len(name))
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=8 * heads,
        intermediate_size=32,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        initializer_range=0.3,
        attn_implementation="sdpa",
    )
    return LlamaForCausalLM(config).eval(), torch.randint(VOCABULARY, (1, tokens))


def read(model, ids):
    """The cache of one pass over the prompt: per layer `k_GLD`."""
    cache = DynamicCache()
    with torch.inference_mode():
        model(ids, past_key_values=cache)
    return [layer.keys[0] for layer in cache.layers]


def inputs(model, ids):
    """Keys and last queries of every layer, after RoPE."""
    queries = []

    def look(module, _, kwargs, output):
        q = get_prerope_query_states(module, kwargs["hidden_states"])
        queries.append(apply_rotary_pos_emb(q, q, *kwargs["position_embeddings"])[0][0, :, -ROWS:])

    hooks = [layer.self_attn.register_forward_hook(look, with_kwargs=True) for layer in model.model.layers]
    keys = read(model, ids)
    for hook in hooks:
        hook.remove()
    return keys, queries


def pressed(model, ids, press):
    """What the press scores, `[G, L]` per layer, and the keys that it leaves."""
    scores = []
    compute = press.score

    def score(*args):
        scores.append(compute(*args)[0])
        return compute(*args)

    press.score = score
    with press(model):
        left = read(model, ids)
    return scores, left


def positions(whole_GLD, left_GKD):
    """Where the keys that are left were, ascending, per KV head."""
    same_GKL = (left_GKD[:, :, None] == whole_GLD[:, None]).all(-1)
    assert same_GKL.sum(-1).eq(1).all()
    return same_GKL.int().argmax(-1).sort(-1).values.tolist()


def plain(tensor):
    """Nested lists of the shortest numbers that are these float32 again."""
    return [plain(part) for part in tensor] if tensor.dim() else float(f"{tensor.item():.9g}")


def main():
    torch.set_num_threads(1)  # the same bits on any number of cores
    golden = {
        "made with": {name: version(name) for name in ("kvpress", "transformers", "torch")},
        "inputs": {},
        "cases": [],
    }
    known = {name: build(name) for name in MODELS}
    keys = {}
    for name, (model, ids) in known.items():
        keys[name], queries = inputs(model, ids)
        layers = [{"k_GLD": plain(k), "q_HWD": plain(q)} for k, q in zip(keys[name], queries, strict=True)]
        golden["inputs"][name] = {"scale": model.model.layers[0].self_attn.scaling, "layers": layers}
    for name, press, options in CASES:
        scores, left = pressed(*known[name], press(**options))
        kept = [positions(*pair) for pair in zip(keys[name], left, strict=True)]
        case = {"input": name, "press": press.__name__, "options": options, "kept": kept}
        if press is not StreamingLLMPress:
            case["scores"] = [plain(one) for one in scores]
        golden["cases"].append(case)
    data = json.dumps(golden, separators=(",", ":")).encode()
    Path(__file__).with_name("kvpress_golden.json.gz").write_bytes(gzip.compress(data, mtime=0))


if __name__ == "__main__":
    main()
