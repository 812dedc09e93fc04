"""En.Sum: sum up one of many documents in a sentence."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from scbench.tasks.base import Group, Task
from scbench.tasks.blocks import blocks, removable
from scbench.tasks.documents import (
    HEADING,
    ask,
    asked_number,
    documents,
    hashes,
    longest_document,
    paragraphs,
    tell,
    whole,
)
from scbench.tasks.fit import Encoder, Supply
from scbench.tasks.packages import DESCRIBED, ingredients
from scbench.tasks.session import Session, Turn
from scbench.tasks.shrink import Span

SEPARATOR = "\n\n"


@dataclass(frozen=True)
class EnSum(Task):
    """Long descriptions of installed packages, to be summed up as their authors did in the packages' summary lines.

    Items are paragraphs. A paragraph that has the summary line in it is left out; short contexts show the first
    paragraphs of each document, so that there are enough of them. No document comes twice in a context of up to
    `unrepeated()` characters, about 300,000 tokens with the packages that this project depends on. In a longer one
    the documents come again under other numbers, and a session names them again in `documents`; questions are about
    different ones all the same.
    """

    max_new_tokens: int = 200

    name: ClassVar[str] = "en_sum"
    title: ClassVar[str] = "En.Sum"
    group: ClassVar[str] = "Global information"
    metric: ClassVar[str] = "ROUGE"
    published: ClassVar[str] = "scbench_summary"

    @classmethod
    def ingredients(cls) -> str:
        """The versions of the packages whose descriptions are used."""
        return ingredients(DESCRIBED)

    @staticmethod
    def unrepeated() -> int:
        """The characters of all documents together; up to this length a context has each at most once."""
        return sum(len(text) + len(SEPARATOR) for document in documents() for text in document.paragraphs)

    def generate(self, index: int, tokenizer: Encoder) -> Session:
        """Different documents anywhere in the context, one per turn."""
        text = Supply(paragraphs(self, index, longest_document(self, self.turns)))
        fitted = self.fitted(lambda count: SEPARATOR.join(tell(text.first(count))), tokenizer, sample=24)
        told = text.first(fitted.items)
        complete = whole(told)
        self.need(self.turns, len(complete), "documents")
        asked = self.random(index, "questions").sample(complete, self.turns)
        return replace(self.generated(index, fitted, map(ask, asked)), documents=hashes(told))

    def droppable(self, session: Session) -> Sequence[Group]:
        """Numbered documents that no turn asks for, in random order."""
        parts = document_spans(session.context)
        kept = asked_documents(session.context, parts, session.turns)
        return removable(parts, kept, self.name, session.documents)

    def answer_kept(self, turn: Turn, whole: str, kept: str) -> bool:
        """Whether the document that is asked for by its number still stands."""
        return document_kept(turn, whole, kept)


def document_spans(context: str) -> list[Span]:
    """The numbered documents of a context; none where it is not made of them alone."""
    starts = [match.start() for match in HEADING.finditer(context)]
    return blocks(context, starts) if starts[:1] == [0] else []


def asked_documents(context: str, parts: Sequence[Span], turns: Sequence[Turn]) -> Collection[int]:
    """The places of the documents that turns ask for by number."""
    asked = {asked_number(turn.question) for turn in turns}
    return {place for place, (start, stop) in enumerate(parts) if _number(context[start:stop]) in asked}


def document_kept(turn: Turn, whole: str, kept: str) -> bool:
    """Whether a numbered document that the turn asks for, if it does, stands in `kept` as in the `whole` context."""
    number = asked_number(turn.question)
    texts = (whole[start:stop] for start, stop in document_spans(whole))
    return all(text in kept for text in texts if _number(text) == number)


def _number(text: str) -> int:
    heading = HEADING.match(text)
    return int(heading[1]) if heading else 0
