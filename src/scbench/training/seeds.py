"""Seeds of the training sessions: below zero, where no evaluation can be.

A generated session is a function of `name/seed/index/purpose` (`Task.random`), and a task of a sweep refuses a seed
below zero. So no training session shares a stream of random numbers with one that a model is ever evaluated on.
"""

from __future__ import annotations

import random


def training_seed(number: int) -> int:
    """The seed of training run `number`, counted from 0; its steps are told apart by the index of a session."""
    return -1 - number


def stream(purpose: str, seed: int, number: int) -> random.Random:
    """The random numbers of a training step for one purpose, which no task uses."""
    return random.Random(f"training/{purpose}/{seed}/{number}")
