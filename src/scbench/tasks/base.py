"""What every task has: its options, and how it makes or reads a session."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, ClassVar

from scbench.errors import ScbenchError
from scbench.tasks.fit import Encoder, Fitted, fit
from scbench.tasks.session import Session, Turn

CONTEXTS = ("full", "none", "shuffled")
Group = tuple[tuple[int, int], ...]  # character spans [start, stop) of a context


class FieldError(ValueError):
    """A field of a published row that is not what the task needs."""

    def __init__(self, field: str, reason: str):
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


@dataclass(frozen=True)
class Task(ABC):
    """The options of every task; a task is a subclass with its own defaults.

    `length`          tokens of the context, by the evaluated model's tokenizer: never above, at most
                      max(1 %, one item) below; for generated contexts only
    `size`            null, or the number of the context's items, which then decides instead of `length`
    `limit`           number of sessions; a session does not depend on it
    `seed`            names the generated sessions; for generated contexts only
    `turns`           questions per session; for generated contexts only
    `max_new_tokens`  the longest answer, in tokens
    `data`            null: generated contexts; else published ones: a JSONL or Parquet file, a folder of them, or
                      `hub[:owner/name]@commit` (`scbench.tasks.rows`)
    `context`         `full`; or a floor: `none` (the questions alone) or `shuffled` (another session's context)

    Class attributes: `name` (in configurations and files), `title`, `group` and `metric` (the paper's words),
    `published` (configuration of the published data set; empty without one), `context_field` (where its rows have
    the context), and `part_of_scbench` (whether it is one of the paper's twelve: no other enters a mean over tasks).
    """

    length: int = 8192
    size: int | None = None
    limit: int = 10
    seed: int = 0
    turns: int = 5
    max_new_tokens: int = 40
    data: str | None = None
    context: str = "full"

    name: ClassVar[str]
    title: ClassVar[str]
    group: ClassVar[str]
    metric: ClassVar[str]
    published: ClassVar[str]
    context_field: ClassVar[str] = "context"
    part_of_scbench: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for option in ("length", "limit", "turns", "max_new_tokens"):
            if (value := getattr(self, option)) < 1:
                raise ScbenchError(f"task.{option}={value}: must be at least 1")
        if self.size is not None and self.size < 1:
            raise ScbenchError(f"task.size={self.size}: must be at least 1, or null")
        if self.context not in CONTEXTS:
            raise ScbenchError(f"task.context={self.context}: must be one of {', '.join(CONTEXTS)}")

    @classmethod
    def ingredients(cls) -> str:
        """What generated sessions are made of besides this package's own sources, with versions; empty for nothing."""
        return ""

    @abstractmethod
    def generate(self, index: int, tokenizer: Encoder) -> Session:
        """Session number `index` of this seed, from the options and the tokenizer alone.

        Raises `ScbenchError` where `length` cannot hold what `turns` questions need.
        """

    def parse_context(self, value: Any) -> tuple[str, int | None]:
        """The text and number of items of a published row's `context`; raises `FieldError`."""
        return text_field("context", value), None

    def parse_source(self, row: Mapping[str, Any]) -> tuple[str | None, str | None]:
        """The language and the repository of a published row's code, if it says so; raises `FieldError`."""
        return optional_text("lang", row.get("lang")), optional_text("repo", row.get("repo"))

    def parse_turn(self, raw: Mapping[str, Any]) -> Turn:
        """A published row's turn; raises `FieldError`."""
        return Turn(
            text_field("input", raw.get("input")),
            text_field("answer", raw.get("answer")),
            function=optional_text("name", raw.get("name")),
        )

    @classmethod
    def has_items(cls) -> bool:
        """Whether contexts of this task can be fitted by dropping whole items."""
        return cls.droppable is not Task.droppable

    def answer_kept(self, turn: Turn, whole: str, kept: str) -> bool:
        """Whether a cut context `kept` still answers the turn: what stood in the `whole` one still stands there.

        An answer that is not a part of the context (a summary, say) cannot be cut away.
        """
        texts = turn.answer if isinstance(turn.answer, tuple) else (str(turn.answer),)
        return all(text in kept for text in texts if text in whole)

    def droppable(self, session: Session) -> Sequence[Group]:
        """What may be taken out of the context so that every gold answer stays, in the order of taking it out.

        Each group of character spans goes as a whole (an item with its separator); any number of the first groups
        may go, and what is left is a context of the same form. Empty for a task without items.
        """
        return ()

    def answer_limits(self, session: Session) -> tuple[int, ...]:
        """The longest answer of each turn, in tokens."""
        return (self.max_new_tokens,) * len(session.turns)

    def random(self, index: int, purpose: str) -> random.Random:
        """The random numbers that session `index` uses for one purpose: the same on every machine."""
        return random.Random(f"{self.name}/{self.seed}/{index}/{purpose}")

    def fitted(self, text: Callable[[int], str], tokenizer: Encoder, *, sample: int) -> Fitted:
        """The text of `size` items, or of as many as `length` tokens hold; `sample` items tell their rate."""
        if self.size is None:
            return fit(text, self.length, tokenizer, sample=sample)
        exact = text(self.size)
        return Fitted(exact, self.size, len(tokenizer.encode(exact, add_special_tokens=False)))

    def generated(self, index: int, fitted: Fitted, turns: Iterable[Turn]) -> Session:
        """The session of a generated context."""
        return Session(
            id=f"s{self.seed}-{index:04d}",
            task=self.name,
            origin="generated",
            context=fitted.text,
            turns=tuple(turns),
            documents=(document_hash(fitted.text),),
            characters=len(fitted.text),
            tokens=fitted.tokens,
            items=fitted.items,
        )

    def need(self, count: int, found: int, items: str) -> None:
        """Raise `ScbenchError` when the context holds fewer items than the questions need."""
        if found < count:
            option = f"task.length={self.length}" if self.size is None else f"task.size={self.size}"
            raise ScbenchError(
                f"{self.title}: {option} holds {found} {items}, but the questions need {count};"
                f" raise {option.partition('=')[0]} or lower task.turns"
            )


def rotation(kinds: tuple[str, ...], index: int, turns: int) -> tuple[str, ...]:
    """The kinds of question of session `index`: each session starts at the next kind."""
    return tuple(kinds[(index + turn) % len(kinds)] for turn in range(turns))


def text_field(field: str, value: Any) -> str:
    """`value` where it is a text that says something; raises `FieldError`."""
    if not isinstance(value, str):
        raise FieldError(field, f"expected a text, found {kind_of(value)}")
    if not value.strip():
        raise FieldError(field, "is empty")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise FieldError(field, f"character {error.start + 1} is half a surrogate pair") from error
    return value


def optional_text(field: str, value: Any) -> str | None:
    """`value` where it is a text, None where there is none; raises `FieldError`."""
    return None if value is None or value == "" else text_field(field, value)


def kind_of(value: Any) -> str:
    """A JSON value's type, in JSON's words."""
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list"}
    return "nothing" if value is None else kinds.get(type(value), "an object")


def document_hash(text: str) -> str:
    """Names an underlying document: sessions with the same hash are not independent."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
