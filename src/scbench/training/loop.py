"""The training loop: a batch of one track, a step, a line of the log now and then; goes on where it stopped."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from scbench.errors import ScbenchError
from scbench.training import curriculum, initial
from scbench.training.architectures import ARCHITECTURES, WINDOW
from scbench.training.examples import Example, example, padded
from scbench.training.recipe import Recipe
from scbench.training.seeds import stream, training_seed
from scbench.training.tokenizer import random_texts

CHECKPOINT = "checkpoint.pt"
LOG = "log.jsonl"
AVERAGED = 25  # steps of one line of the log
ROWS = 64  # at most of a batch


@dataclass
class Run:
    """A training run in memory; `step` counts the steps that are done, `learned` is as `_learned` has it."""

    name: str
    recipe: Recipe
    model: PreTrainedModel
    optimizer: torch.optim.AdamW
    learned: torch.Tensor
    tokenizer: PreTrainedTokenizerFast
    tracks: Sequence[curriculum.Track]
    standings: curriculum.Standings
    step: int = 0
    tokens: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What a step found: loss, share of right tokens and of right answers, per track and level."""

    track: str
    level: int
    loss: float
    token: float
    exact: float
    tokens: int


def begin(name: str, recipe: Recipe, tokenizer: PreTrainedTokenizerFast, tracks: Sequence[curriculum.Track]) -> Run:
    """A run at its first step, with weights drawn from the recipe's seed."""
    ids = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = ARCHITECTURES[name](vocab_size=len(tokenizer), bos_token_id=None, **ids)
    model = initial.begin(config, recipe.seed, tokenizer)
    learned = _learned(tokenizer)
    return Run(name, recipe, model, _optimizer(model, recipe), learned, tokenizer, tracks, curriculum.start(tracks))


def train(run: Run, folder: Path, seconds: float = 60.0, tell: Callable[[str], None] = print) -> None:
    """Train to the recipe's last step, with a checkpoint every so many seconds and at the end."""
    log = folder / LOG
    done: list[Outcome] = []
    saved = started = time.monotonic()
    before = run.seconds
    while run.step < run.recipe.steps:
        done.append(advance(run))
        run.seconds = before + time.monotonic() - started
        if run.step % AVERAGED == 0 or run.step == run.recipe.steps:
            line = json.dumps(_line(run, done))
            with log.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
            tell(line)
            done = []
            if time.monotonic() - saved > seconds or run.step == run.recipe.steps:
                save(run, folder)
                saved = time.monotonic()


def advance(run: Run) -> Outcome:
    """One step of the optimiser on one batch."""
    source = stream("choice", run.recipe.seed, run.step)
    track, level = curriculum.choose(run.tracks, run.standings, source)
    examples = _batch(run, track, level)
    for group in run.optimizer.param_groups:
        group["lr"] = group["share"] * run.recipe.rate_at(run.step)
    rows = torch.tensor(padded(examples, run.tokenizer.pad_token_id))
    positions = _positions(rows.shape, run.recipe.stretch if track.stretched else 0.0, source)
    loss, token, exact = measure(run.model, rows, positions, examples)
    run.optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    run.model.get_input_embeddings().weight.grad.mul_(run.learned)
    torch.nn.utils.clip_grad_norm_(run.model.parameters(), run.recipe.clip)
    run.optimizer.step()
    run.step += 1
    run.tokens += rows.numel()
    run.standings = curriculum.moved(run.standings, track, level, exact)
    return Outcome(track.name, level, loss.item(), token, exact, rows.numel())


def measure(
    model: PreTrainedModel, rows: torch.Tensor, positions: torch.Tensor, examples: Sequence[Example]
) -> tuple[torch.Tensor, float, float]:
    """Mean loss of the answers' tokens [scalar], and the shares of right tokens and of wholly right answers.

    An answer is wholly right where greedy decoding would give it, as each of its tokens is the likeliest behind the
    right ones before it.
    """
    spans = [(row, first, last) for row, one in enumerate(examples) for first, last in one.answers]
    row = torch.tensor([one for one, first, last in spans for _ in range(first, last)])
    place = torch.tensor([where for _, first, last in spans for where in range(first, last)])
    answer = torch.tensor([number for number, (_, first, last) in enumerate(spans) for _ in range(first, last)])
    options = {} if "position_ids" not in model.forward.__code__.co_varnames else {"position_ids": positions}
    mask = torch.ones_like(rows)  # says that jumps of the positions part no sequences; padding comes last anyway
    hidden = model.base_model(input_ids=rows, attention_mask=mask, use_cache=False, **options).last_hidden_state
    logits = model.lm_head(hidden[row, place - 1])
    target = rows[row, place]
    loss = functional.cross_entropy(logits, target)
    right = (logits.argmax(-1) == target).float()
    whole = torch.ones(len(spans)).scatter_reduce(0, answer, right, "amin")
    return loss, right.mean().item(), whole.mean().item()


def save(run: Run, folder: Path) -> None:
    """Write the checkpoint; it is there complete or as it was."""
    draft = folder / f"{CHECKPOINT}.{os.getpid()}"
    state = {
        "name": run.name,
        "recipe": asdict(run.recipe),
        "model": run.model.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "standings": curriculum.to_json(run.standings),
        "step": run.step,
        "tokens": run.tokens,
        "seconds": run.seconds,
    }
    torch.save(state, draft)
    draft.replace(folder / CHECKPOINT)


def resume(run: Run, folder: Path) -> Run:
    """The run as its checkpoint has it, and the log cut to what was done then; the run itself where there is none."""
    path = folder / CHECKPOINT
    if not path.exists():
        return run
    state: dict[str, Any] = torch.load(path, weights_only=True)
    same = {**state["recipe"], "steps": run.recipe.steps} == asdict(run.recipe) and state["name"] == run.name
    if not same:
        raise ScbenchError(f"{path}: belongs to another model or recipe; give another --output, or delete it")
    run.model.load_state_dict(state["model"])
    run.optimizer.load_state_dict(state["optimizer"])
    log = folder / LOG
    lines = log.read_text(encoding="utf-8").splitlines(keepends=True) if log.exists() else []
    log.write_text("".join(line for line in lines if json.loads(line)["step"] <= state["step"]), encoding="utf-8")
    return replace(
        run,
        standings=curriculum.from_json(state["standings"]),
        step=state["step"],
        tokens=state["tokens"],
        seconds=state["seconds"],
    )


def _learned(tokenizer: PreTrainedTokenizerFast) -> torch.Tensor:
    """Whether a token's embedding is learned, as 1 or 0 [vocabulary, 1]: not that of what random strings are made of.

    A random pair of characters has no meaning to learn, only to differ from others. AdamW takes steps of full size for
    the small gradients of rare tokens, and what tells them apart wears away.
    """
    learned = torch.ones(len(tokenizer), 1)
    learned[tokenizer.convert_tokens_to_ids([*random_texts()])] = 0
    return learned


def _optimizer(model: PreTrainedModel, recipe: Recipe) -> torch.optim.AdamW:
    embeddings = model.get_input_embeddings().weight
    others = [weight for weight in model.parameters() if weight is not embeddings]
    groups = [
        {"params": [embeddings], "share": recipe.slower, "weight_decay": 0.0},
        {"params": [weight for weight in others if weight.ndim > 1], "share": 1.0, "weight_decay": recipe.decay},
        {"params": [weight for weight in others if weight.ndim <= 1], "share": 1.0, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.rate, betas=(0.9, 0.95))


def _batch(run: Run, track: curriculum.Track, level: int) -> list[Example]:
    """Examples of one level that together have about the recipe's tokens."""
    task = replace(track.levels[level], seed=training_seed(run.recipe.seed))
    end = run.tokenizer.eos_token_id
    examples: list[Example] = []
    longest = 0
    while not examples or ((len(examples) + 1) * longest <= run.recipe.tokens and len(examples) < ROWS):
        session = task.generate(run.step * ROWS + len(examples), run.tokenizer)
        examples.append(example(session, task, run.tokenizer, end))
        longest = max(longest, len(examples[-1].tokens))
    return examples


def _positions(shape: torch.Size, stretch: float, source: random.Random) -> torch.Tensor:
    """Positions [rows, length]: 0, 1, 2, …, or with up to three jumps that use the room up to the window."""
    rows, length = shape
    positions = torch.arange(length).repeat(rows, 1)
    room = WINDOW - length
    if room <= 0 or source.random() >= stretch:
        return positions
    for row in positions:
        left = source.randint(0, room)
        for _ in range(source.randint(1, 3)):
            jump = source.randint(0, left)
            row[source.randrange(length) :] += jump
            left -= jump
    return positions


def _line(run: Run, done: Sequence[Outcome]) -> dict[str, Any]:
    """A line of the log: means over the steps since the last one, per track, and where the curriculum stands."""
    tracks = {}
    for name in dict.fromkeys(one.track for one in done):
        mine = [one for one in done if one.track == name]
        tracks[name] = {
            what: round(sum(getattr(one, what) for one in mine) / len(mine), 4) for what in ("loss", "token", "exact")
        }
    levels = {name: standing.level for name, standing in run.standings.items()}
    return {
        "step": run.step,
        "seconds": round(run.seconds, 1),
        "tokens": run.tokens,
        "tracks": tracks,
        "levels": levels,
    }
