"""`scbench train-tiny`: the models that the package carries, made anew."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from scbench.errors import ScbenchError
from scbench.nearest import hint


def run(arguments: argparse.Namespace) -> int:
    """Train, or go on; then write the model. An interrupted run goes on from its last checkpoint."""
    from scbench.training.architectures import ARCHITECTURES
    from scbench.training.loop import CHECKPOINT

    if arguments.name not in ARCHITECTURES:
        raise ScbenchError(f"train-tiny {arguments.name}: {hint(arguments.name, ARCHITECTURES)}")
    if arguments.steps is not None and arguments.steps < 1:
        raise ScbenchError(f"--steps {arguments.steps}: must be at least 1")
    folder = arguments.output or Path("results") / "tiny" / arguments.name
    try:
        _train(arguments, folder)
    except KeyboardInterrupt:
        saved = f"goes on from the last checkpoint in {folder}"
        again = saved if (folder / CHECKPOINT).exists() else "begins again, as there is no checkpoint yet"
        print(f"\nscbench: interrupted: the same command {again}", file=sys.stderr)
        return 130
    return 0


def _train(arguments: argparse.Namespace, folder: Path) -> None:
    from scbench.training import curriculum, loop, tokenizer
    from scbench.training.export import export
    from scbench.training.recipe import RECIPES
    from scbench.training.texts import texts

    recipe = RECIPES[arguments.name]
    if arguments.steps is not None:
        recipe = replace(recipe, steps=arguments.steps)
    folder.mkdir(parents=True, exist_ok=True)
    words = tokenizer.build(texts(curriculum.TRACKS))
    tracks = curriculum.STEPWISE if recipe.stepwise else curriculum.TRACKS
    begun = loop.begin(arguments.name, recipe, words, tracks)
    running = loop.resume(begun, folder)
    if running.step:
        print(f"going on after step {running.step:,} of {recipe.steps:,}")
    loop.train(running, folder)
    target = arguments.export or folder / "model"
    export(running, target, folder / loop.LOG)
    print(f"{target}: use it with model.path={target}")
