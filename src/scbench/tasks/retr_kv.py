"""Retr.KV: look up values in a JSON object of random keys, after "Lost in the Middle" (arXiv 2307.03172)."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from scbench.tasks.base import Group, Task
from scbench.tasks.fit import Encoder, Supply
from scbench.tasks.session import Session, Turn
from scbench.tasks.shrink import separated

Pair = tuple[str, str]
TEXT = r'"((?:[^"\\]|\\.)*)"'
PAIR = re.compile(rf"{TEXT}\s*:\s*{TEXT}")


@dataclass(frozen=True)
class RetrKV(Task):
    """Random UUIDs as keys and values, 36 characters each: nothing to guess and nothing to compress."""

    max_new_tokens: int = 150

    name: ClassVar[str] = "retr_kv"
    title: ClassVar[str] = "Retr.KV"
    group: ClassVar[str] = "String retrieval"
    metric: ClassVar[str] = "Accuracy"
    published: ClassVar[str] = "scbench_kv"

    def generate(self, index: int, tokenizer: Encoder) -> Session:
        """Keys of different pairs, anywhere in the object, one per turn."""
        pairs = Supply(uuid_pairs(self.random(index, "pairs")))
        fitted = self.fitted(lambda count: render_pairs(pairs.first(count)), tokenizer, sample=8)
        self.need(self.turns, fitted.items, "pairs")
        asked = self.random(index, "questions").sample(pairs.first(fitted.items), self.turns)
        return self.generated(index, fitted, (Turn(key_question(key), value) for key, value in asked))

    def droppable(self, session: Session) -> Sequence[Group]:
        """The pairs that no turn asks for, in random order, so that the others keep their depths."""
        found = list(PAIR.finditer(session.context))
        asked = "\n".join(turn.question for turn in session.turns)
        answers = {str(turn.answer) for turn in session.turns}
        kept = {
            place
            for place, pair in enumerate(found)
            if any(key in asked for key in _forms(pair[1])) or answers & _forms(pair[2])
        }
        groups = [(span,) for span in separated([pair.span() for pair in found], kept).values()]
        random.Random(f"{self.name}/drop/{session.documents}").shuffle(groups)
        return groups

    def answer_kept(self, turn: Turn, whole: str, kept: str) -> bool:
        """Whether the pair that is asked for still stands, its key too."""
        asked = [
            pair[0]
            for pair in PAIR.finditer(whole)
            if turn.answer in _forms(pair[2]) and any(key in turn.question for key in _forms(pair[1]))
        ]
        return all(pair in kept for pair in asked) if asked else super().answer_kept(turn, whole, kept)


def _forms(literal: str) -> set[str]:
    """What a question may write for a JSON text: the text as it stands, without escapes, or with as few as can be."""
    try:
        text = str(json.loads(f'"{literal}"', strict=False))
    except ValueError:
        return {literal}
    return {literal, text, json.dumps(text, ensure_ascii=False)[1:-1]}


def uuid_pairs(source: random.Random) -> Iterator[Pair]:
    """Endless pairs of random UUIDs."""
    while True:
        yield _uuid(source), _uuid(source)


def _uuid(source: random.Random) -> str:
    return str(UUID(int=source.getrandbits(128), version=4))


def render_pairs(pairs: list[Pair]) -> str:
    """The context: one JSON object."""
    return "JSON data:\n{" + ", ".join(f'"{key}": "{value}"' for key, value in pairs) + "}"


def key_question(key: str) -> str:
    """The question for the value of a key."""
    return f'Key: "{key}"\nThe value associated with the specified key is: '
