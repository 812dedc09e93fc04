"""The texts whose words become tokens: what the trained tasks show and ask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from scbench.prompts.templates import template
from scbench.tasks.identifiers import THINGS
from scbench.tasks.session import Session
from scbench.training.curriculum import Track
from scbench.training.seeds import training_seed
from scbench.training.tokenizer import OFTEN

SESSIONS = 240  # per track; the puzzles of ICL.ManyShot need as many to show their words
LEVEL = 1  # its texts are short, and have the words of all levels


class _Nothing:
    """Counts no tokens: the tasks are given numbers of items here."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        return []


def texts(tracks: Sequence[Track]) -> Iterator[str]:
    """Sessions that only training sees, one text each, and the owners of pass keys, often enough to become tokens."""
    for track in tracks:
        task = replace(track.levels[LEVEL], seed=training_seed(0))
        for index in range(SESSIONS):
            yield _shown(task.generate(index, _Nothing()))
    for _ in range(OFTEN):
        yield from (f" {thing}" for thing in THINGS)


def _shown(session: Session) -> str:
    style = template(session.task)
    return "\n".join([style.instruction, session.context, *map(style.ask, session.turns)])
