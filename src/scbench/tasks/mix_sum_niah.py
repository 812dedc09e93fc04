"""Mix.Sum+NIAH: En.Sum's documents with pass keys hidden between their paragraphs."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from scbench.tasks.base import Group, Task
from scbench.tasks.blocks import holding, removable
from scbench.tasks.documents import ask, hashes, longest_document, paragraphs, tell, whole
from scbench.tasks.en_sum import SEPARATOR, asked_documents, document_kept, document_spans
from scbench.tasks.fit import Encoder, Supply
from scbench.tasks.identifiers import THINGS
from scbench.tasks.mixes import alternate, counts, limits, subtask
from scbench.tasks.packages import DESCRIBED, ingredients
from scbench.tasks.session import Session, Turn

NEEDLES = 5  # at least
LIMITS = {"en_sum": 800, "passkey": 15}


@dataclass(frozen=True)
class Needle:
    """A pass key of five digits, whom it belongs to, and its depth in the context, from 0 to 1."""

    owner: str
    key: str
    depth: float

    def __str__(self) -> str:
        return f"The pass key of the {self.owner} is {self.key}. Remember it: {self.key} is the pass key."


@dataclass(frozen=True)
class MixSumNIAH(Task):
    """Summaries and pass keys are asked for in turn; which comes first differs from one session to the next.

    Five pass keys are hidden, more where more are asked for. Documents are made, cut and repeated as in En.Sum.
    """

    turns: int = 8
    max_new_tokens: int = 800

    name: ClassVar[str] = "mix_sum_niah"
    title: ClassVar[str] = "Mix.Sum+NIAH"
    group: ClassVar[str] = "Multi-tasking"
    metric: ClassVar[str] = "ROUGE + Accuracy"
    published: ClassVar[str] = "scbench_summary_with_needles"

    @classmethod
    def ingredients(cls) -> str:
        """The versions of the packages whose descriptions are used."""
        return ingredients(DESCRIBED)

    def generate(self, index: int, tokenizer: Encoder) -> Session:
        """Different documents and different pass keys, anywhere in the context."""
        wanted = counts(tuple(LIMITS), index, self.turns)
        text = Supply(paragraphs(self, index, longest_document(self, wanted["en_sum"] + 1)))
        needles = hidden_keys(self.random(index, "needles"), max(NEEDLES, wanted["passkey"]))
        fitted = self.fitted(lambda count: _hide(needles, tell(text.first(count))), tokenizer, sample=24)
        told = text.first(fitted.items)
        complete = whole(told)
        self.need(wanted["en_sum"], len(complete), "documents")
        source = self.random(index, "questions")
        asked = {
            "en_sum": [ask(part) for part in source.sample(complete, wanted["en_sum"])],
            "passkey": [ask_key(needle) for needle in source.sample(needles, wanted["passkey"])],
        }
        return replace(self.generated(index, fitted, alternate(asked, index, self.turns)), documents=hashes(told))

    def parse_turn(self, raw: Mapping[str, Any]) -> Turn:
        """A turn whose `task` is `scbench_summary` or `scbench_passkey`."""
        return replace(super().parse_turn(raw), subtask=subtask(raw, tuple(LIMITS)))

    def answer_limits(self, session: Session) -> tuple[int, ...]:
        """`max_new_tokens` (by default the original's 800) for a summary, at most 15 for a pass key."""
        return limits(session, LIMITS, self.max_new_tokens)

    def droppable(self, session: Session) -> Sequence[Group]:
        """Numbered documents that no turn asks for and that hide no asked pass key, in random order."""
        parts = document_spans(session.context)
        keys = [str(turn.answer) for turn in session.turns if turn.subtask == "passkey"]
        kept = {*asked_documents(session.context, parts, session.turns), *holding(session.context, parts, keys)}
        return removable(parts, kept, self.name, session.documents)

    def answer_kept(self, turn: Turn, whole: str, kept: str) -> bool:
        """Whether the document that is asked for, or the pass key, still stands."""
        return document_kept(turn, whole, kept) and super().answer_kept(turn, whole, kept)


def hidden_keys(source: random.Random, count: int) -> list[Needle]:
    """Needles with different keys and different owners."""
    keys = source.sample(range(10_000, 100_000), count)
    owners = source.sample([f"{one} {other}" for one in THINGS[::2] for other in THINGS[1::2]], count)
    return [Needle(owner, str(key), source.random()) for owner, key in zip(owners, keys, strict=True)]


def _hide(needles: Sequence[Needle], told: Sequence[str]) -> str:
    """The paragraphs with each needle behind one of them, so that the context starts with a document."""
    hidden: dict[int, list[str]] = {}
    for needle in needles:
        hidden.setdefault(int(needle.depth * len(told)), []).append(str(needle))
    return SEPARATOR.join(text for place, part in enumerate(told) for text in (part, *hidden.get(place, ())))


def ask_key(needle: Needle) -> Turn:
    """The question for a needle's key."""
    return Turn(f"What is the pass key of the {needle.owner}? The pass key is", needle.key)
