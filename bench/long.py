"""A context of 128K tokens end to end through `scbench run`: time, and whether memory stays bounded."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.rows import Row

TOKENS = 131072 - 1024  # the rest is for questions and answers
METHODS = "dense,streaming_llm,snapkv,kivi,quest"


def rows(repeats: int) -> Iterator[Row]:
    """Retr.KV on a random model of two layers, five methods in both modes; the peak beside weights and dense KV."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights = _model(folder / "model")
        command = [sys.executable, "-m", "scbench", "run", f"model.path={folder / 'model'}", "task=retr_kv"]
        command += [f"task.length={TOKENS}", "task.limit=1", "task.turns=3", "task.max_new_tokens=16"]
        command += [f"method={METHODS}", "mode=multi_turn,multi_request", "budget=0.125", f"results={folder / 'out'}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:] + done.stdout[-2000:])
        records = [json.loads(line) for file in (folder / "out/cells").rglob("*.jsonl") for line in _lines(file)]
    kv = max(record["kv_bytes"]["dense"] for record in records)
    peak = {stage: max(record["peak_bytes"][stage] for record in records) for stage in ("prefill", "decode")}
    tokens = max(record["prompt_tokens"] for record in records)
    prefill = max(record["times"]["prefill"]["seconds"] for record in records)
    model = "random Llama of 2 layers, 4 heads over 2, 32"
    shape = f"{tokens} tokens, {model}; {METHODS} in both modes, prefill {prefill:.0f} s"
    for stage, highest in peak.items():
        name = f"128K end to end: peak of {stage} ÷ weights and dense KV (whole process; python and torch need 0.6 GiB)"
        known = (weights + kv) / 2**20
        yield Row(name, highest / 2**20, known, highest / 2**20 / known, None, shape, 1, "MiB")


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines()


def _model(folder: Path) -> int:
    """A random Llama with the window for it and SmolLM2's tokenizer; how many bytes its weights have."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

    from scbench.models import embedded

    tokenizer = AutoTokenizer.from_pretrained(embedded.ensure("embedded:smollm2_135m"))
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=131072,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return sum(weight.numel() * weight.element_size() for weight in model.parameters())
