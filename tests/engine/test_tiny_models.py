"""The models that come along, as a test of every method: what each answers right, pinned, so that a broken one fails.

The numbers are those of a run; the tolerance is what rounding on another machine may move (one answer of a few).
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors import safe_open

import scbench
from scbench.config.files import ROOT

TINY = ROOT / "src/scbench/models/tiny"
NAMES = sorted(folder.name for folder in TINY.iterdir() if folder.is_dir())
MIB = 2**20
SESSIONS, TURNS = 6, 3
TOLERANCE = 100 / (SESSIONS * TURNS) * 2.5  # points: two answers of eighteen
METHODS = (
    "dense,a_shape,tri_shape,minference,llmlingua2,streaming_llm,snapkv,pyramidkv,kivi,cacheblend,epic,quest,"
    "retrieval_attention,rocketkv,turboquant,random,oracle_topk"
)
# Strict scores in % on Retr.KV at 2K tokens, multi-turn, at a quarter of the base.
PINNED: dict[str, float] = {}


def test_the_models_are_small_and_whole() -> None:
    assert {"tiny-llama", "tiny-hybrid"} <= set(NAMES)
    assert sum(file.stat().st_size for file in TINY.rglob("*")) < 25 * MIB
    tokenizers = set()
    for name in NAMES:
        folder = TINY / name
        for file in ("README.md", "config.json", "chat_template.jinja", "log.jsonl", "tokenizer_config.json"):
            assert (folder / file).is_file(), f"{name}: {file}"
        tokenizers.add((folder / "tokenizer.json").read_text())
        with safe_open(folder / "model.safetensors", "pt") as weights:
            assert {weights.get_slice(key).get_dtype() for key in weights.keys()} == {"F16"}  # noqa: SIM118
        last = json.loads((folder / "log.jsonl").read_text().splitlines()[-1])
        assert last["step"] > 1000 and last["tracks"]["kv"]["exact"] > 0.5 if "kv" in last["tracks"] else True
    assert len(tokenizers) == 1
