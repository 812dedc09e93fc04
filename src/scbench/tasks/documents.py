"""Numbered documents with summaries: what installed packages say of themselves, at length and in a line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, takewhile

from scbench.errors import ScbenchError
from scbench.tasks.base import Task, document_hash
from scbench.tasks.packages import Description, descriptions, far_apart
from scbench.tasks.session import Turn

SHORTEST, LONGEST = 300, 50_000  # characters of the longest documents in contexts of 1K tokens, and at all
PARAGRAPH = 2500  # characters, at most: a longer one is a table or a log
LEAST = 150  # characters of a document that can be summarised
DECORATION = re.compile(
    r"!\[|\.\. (?:image|figure|\|)|<(?:img|p|div|a|h\d|br|picture|source)\b|^\s*(?:\[?\||\[[^\]]*\]:)"
)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
PARAGRAPHS = re.compile(r"(?:^```.*?^```$|[^\n]|\n(?!\s*\n))+", re.DOTALL | re.MULTILINE)  # a block of code is whole
HEADING = re.compile(r"^Document (\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Document:
    """A document as it is shown, in paragraphs, and the one sentence that sums it up; `hash` names the whole text."""

    paragraphs: tuple[str, ...]
    summary: str
    hash: str


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of document `number` of a context; the `first` one brings the heading, the `last` one ends it."""

    text: str
    number: int
    document: Document
    first: bool
    last: bool


def longest_document(task: Task, documents: int) -> int:
    """How many characters of each document are shown, so that even a short context has `documents`.

    By what tokens (2) and paragraphs (150) have at the least, and with room for three more documents.
    """
    characters = 2 * task.length if task.size is None else 150 * task.size
    return min(LONGEST, max(SHORTEST, characters // (documents + 3)))


def paragraphs(task: Task, index: int, longest: int) -> Iterator[Paragraph]:
    """The endless paragraphs of session `index`: when all documents were there, they come again with new numbers.

    Sessions take their documents from one list in the order of the seed, neighbours from far apart. Raises
    `ScbenchError` where no package with a description is installed.
    """
    known = documents(longest)
    if not known:
        raise ScbenchError(f"{task.title}: no installed package has a description and a summary; set task.data")
    known = task.random(0, "documents").sample(known, len(known))
    number = far_apart(index, len(known))
    shift = number - 1
    while True:
        document = known[number % len(known)]
        end = len(document.paragraphs) - 1
        for place, text in enumerate(document.paragraphs):
            yield Paragraph(text, number - shift, document, place == 0, place == end)
        number += 1


def tell(told: Sequence[Paragraph]) -> list[str]:
    """The paragraphs as text, each document's first one with its heading."""
    return [f"Document {part.number}\n\n{part.text}" if part.first else part.text for part in told]


def whole(told: Iterable[Paragraph]) -> list[Paragraph]:
    """The last paragraphs of the documents that have ended, each document once."""
    return list({part.document.hash: part for part in told if part.last}.values())


def ask(part: Paragraph) -> Turn:
    """The question for the summary of a document."""
    return Turn(f"Summarize document {part.number} in one sentence.", part.document.summary)


def asked_number(question: str) -> int | None:
    """The number of the document that `ask` asks for; None for another question."""
    found = re.fullmatch(r"Summarize document (\d+) in one sentence\.", question)
    return int(found[1]) if found else None


def hashes(told: Iterable[Paragraph]) -> tuple[str, ...]:
    """The hashes of the documents, in order; one that is there twice is named twice."""
    return tuple(part.document.hash for part in told if part.first)


def documents(longest: int = LONGEST) -> list[Document]:
    """The documents of what is installed, each cut to whole paragraphs of at most `longest` characters together."""
    made = (_document(described, longest) for described in descriptions())
    return [document for document in made if sum(map(len, document.paragraphs)) >= LEAST]


def _document(described: Description, longest: int) -> Document:
    most = min(PARAGRAPH, longest)
    parts = [part for part in _paragraphs(described) if len(part) <= most]
    ends = accumulate(len(part) + 2 for part in parts)
    count = sum(1 for _ in takewhile(lambda end: end <= longest + 2, ends))
    return Document(tuple(parts[:count]), described.summary, document_hash(described.text))


@cache
def _paragraphs(described: Description) -> tuple[str, ...]:
    """Paragraphs that say something, without those that have the summary in them."""
    parts = PARAGRAPHS.findall(COMMENT.sub("", described.text))
    texts = ("\n".join(line.rstrip() for line in part.strip("\n").splitlines()) for part in parts)
    return tuple(text for text in texts if _tells(text) and _plain(described.summary) not in _plain(text))


def _tells(text: str) -> bool:
    words = re.findall(r"[A-Za-z]{2,}", text)
    return len(words) >= 3 and not DECORATION.search(text) and not HEADING.search(text)


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))
