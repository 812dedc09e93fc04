"""A session: one long context and the questions asked of it."""

from __future__ import annotations

from dataclasses import dataclass

Answer = str | int | float | tuple[str, ...]


@dataclass(frozen=True)
class Turn:
    """One question about the context, with its gold answer.

    `question` is the data set's `input` field, without any template around it. `answer` is the gold
    answer as the data set has it: text, a number, or a tuple of texts (Retr.MultiHop). `options` are the
    texts of a multiple-choice question. `subtask` names the part of a mix that the turn belongs to (a task's
    name, or `passkey`). `function` is the name of the function that Code.RepoQA asks for.
    """

    question: str
    answer: Answer
    options: tuple[str, ...] = ()
    subtask: str | None = None
    function: str | None = None


@dataclass(frozen=True)
class Session:
    """One context and its turns: the unit of work, of caching and of resampling.

    `id` is unique within its source (task + data). `origin` is `generated` or names the published data.
    `documents` holds one hash per underlying document: sessions that share one are not independent.
    `items` counts the context's items (pairs, numbers, sentences) where it has any; `characters` and
    `tokens` (of the evaluated model's tokenizer) are the context's length. `language` and `repo` say where the
    code of Code.RepoQA comes from. `place` is the file and row of published data.
    """

    id: str
    task: str
    origin: str
    context: str
    turns: tuple[Turn, ...]
    documents: tuple[str, ...]
    characters: int
    tokens: int
    items: int | None = None
    language: str | None = None
    repo: str | None = None
    place: str | None = None
