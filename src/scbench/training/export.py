"""A trained model as files that transformers loads: fp16 safetensors, tokenizer, log, model card."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import torch
from transformers.utils import logging

from scbench.training.loop import LOG, Run

CARD = """\
---
license: mit
library_name: transformers
---
# {name}

{parameters:,} parameters, {kind}. Trained by `scbench train-tiny {name}` on generated sessions of
scbench alone: {steps:,} steps, {tokens:,} tokens, {minutes:.0f} minutes on a CPU that did other work too (`log.jsonl`).
It is meant for what scbench asks of random strings and variables, in scbench's own prompts, and knows nothing else.
`docs/tiny-models.md` of scbench has its accuracy and its tokenizer.

Curriculum when it stopped (level reached, and the running share of right answers there):

| track | level | right |
|---|---|---|
{rows}
"""


def export(run: Run, folder: Path, log: Path) -> None:
    """Write the model as it is now; files of an earlier export are replaced."""
    logging.disable_progress_bar()
    folder.mkdir(parents=True, exist_ok=True)
    copy.deepcopy(run.model).to(torch.float16).save_pretrained(folder)
    run.tokenizer.save_pretrained(folder)
    shutil.copymode(folder / "config.json", folder / "model.safetensors")
    (folder / "README.md").write_text(_card(run), encoding="utf-8")
    if log.exists():
        shutil.copyfile(log, folder / LOG)


def _card(run: Run) -> str:
    now = [(track, run.standings[track.name]) for track in run.tracks]
    rows = [f"| {track.name} | {at.level + 1} of {len(track.levels)} | {at.right:.3f} |" for track, at in now]
    return CARD.format(
        name=run.name,
        parameters=sum(weight.numel() for weight in run.model.parameters()),
        kind=type(run.model).__name__,
        steps=run.step,
        tokens=run.tokens,
        minutes=run.seconds / 60,
        rows="\n".join(rows),
    )
