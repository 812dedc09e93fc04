"""What an engine that is not our own is asked, and what it answers: plain data, one JSON object each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from scbench.modes import Tokens

STOPPED = ("stop", "length")
Report = Callable[[int, int], None]  # (answers done, answers in all)


@dataclass(frozen=True)
class Prompt:
    """A turn's whole prompt, and how many tokens its answer may have."""

    turn: int
    tokens: Tokens
    max_new_tokens: int


@dataclass(frozen=True)
class Ask:
    """Prompts that are known together, to be answered together.

    `session` is the key of what may share cached KV: one session in one cell. Later asks with the same key go on with
    the dialogue. `stop` are the ids that end an answer. `method` is what the cell's method says of itself, for an
    engine that has methods: its name, class (`target`), options, and the cell's `budget`, `query`, `compress`.
    It acts at the end of the first `base` tokens of every prompt, which all prompts share; `context` are those of the
    context, `protected` the intervals [start, stop) of the chat template in it. `tokens` are those of the base that the
    cell's budget allows, None without one.
    """

    session: str
    prompts: tuple[Prompt, ...]
    stop: tuple[int, ...]
    base: int
    context: int
    protected: tuple[tuple[int, int], ...] = ()
    method: Mapping[str, Any] = field(default_factory=dict)
    tokens: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for one JSON line."""
        return asdict(self)


@dataclass(frozen=True)
class Reply:
    """A turn's answer without its stop token, and what the engine tells of it; None for what it does not tell.

    `wait` are the seconds from the ask until the first token, the wait for other prompts included; `decode` those from
    the first token to the last. `cached` are the prompt's tokens whose KV was there already. `kept` are the tokens per
    layer that the cache holds when the answer starts, and `kv_bytes` its size (the fields of `record.KvBytes`); `form`
    says what became of the others, and `idle` that the method has had nothing to do. `seconds` are those of the stages,
    `peak` the bytes of their highest memory use.
    """

    turn: int
    tokens: Tokens
    stopped: str
    wait: float | None = None
    decode: float | None = None
    cached: int | None = None
    kept: tuple[int, ...] = ()
    kv_bytes: Mapping[str, int] | None = None
    form: str | None = None
    idle: bool = False
    seconds: Mapping[str, float] = field(default_factory=dict)
    peak: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Reply:
        """From plain data; raises `TypeError` or `ValueError` where it is no reply."""
        values = dict(data)
        for key in ("tokens", "kept"):
            if key in values:
                values[key] = tuple(int(number) for number in values[key])
        reply = cls(**values)
        if reply.stopped not in STOPPED:
            raise ValueError(f"stopped={reply.stopped!r} is none of {', '.join(STOPPED)}")
        return reply


@dataclass(frozen=True)
class About:
    """What an engine says of itself when it is ready.

    `provenance` goes into every record. `block` is the number of tokens of which its prefix cache takes all or
    nothing, None where it has no such cache or does not tell. `token_bytes` is the size of a token's KV over all
    layers, for budgets in bytes, None where it has no methods.
    """

    provenance: Mapping[str, str]
    block: int | None = None
    token_bytes: int | None = None


class Client(Protocol):
    """A connection to an engine that is ready to answer."""

    @property
    def about(self) -> About:
        """What it says of itself."""

    def answer(self, ask: Ask, seconds: float | None, report: Report) -> Sequence[Reply]:
        """One reply per prompt, in any order.

        Raises `TimeoutError` when it takes longer than `seconds`, `MemoryError` where the engine has no more memory,
        and `ScbenchError` for all else; the next ask is a new try.
        """

    def close(self) -> None:
        """End the connection, and the engine with it if it was started for it."""
