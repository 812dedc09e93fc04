"""What the engine is asked to do with one session in one cell, and what it says of every turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from scbench.engine.acting import ONCE
from scbench.engine.adapter import Shape
from scbench.engine.answer import Answer
from scbench.engine.failure import Failure
from scbench.methods.base import Base
from scbench.methods.budget import Budget
from scbench.methods.compose import Composition
from scbench.methods.fitting import KvShape
from scbench.modes import Layout, Places, Tokens
from scbench.record import Diagnostics, Fidelity, KvBytes, Serving, StageTime


@dataclass(frozen=True)
class Job:
    """What one cell does with a session.

    With gold history (and in multi-request mode) `layout` is complete and `feedback` empty. With generated history
    the layout has the first turn only, and `feedback` holds, per later turn, its followup tokens and its limit on
    new tokens: the layout grows by each answer. `compress` says what happens at the points after the base (`once`:
    nothing; `each`, `isolated`). With `each_query` the method acts for every question anew, on the full cache.
    `gold` are the right answers per turn, for the measure of fidelity; without them there is none. `left_out` are the
    context's tokens that the method has already left out of the text, None where it did not act on it. `gold_places`
    are where the right answers stand in the context, per turn, where that is to be followed.
    """

    cell: str
    layout: Layout
    method: Composition
    budget: Budget | None
    feedback: tuple[tuple[tuple[int, ...], int], ...] = ()
    compress: str = ONCE
    each_query: bool = False
    gold: tuple[Tokens, ...] = ()
    left_out: int | None = None
    gold_places: tuple[Places, ...] = ()

    @property
    def rewritten(self) -> bool:
        """Whether the method has already acted, on the text."""
        return self.left_out is not None

    def resolved(self, shape: Shape, tokens: int, protected: bool = True) -> Composition:
        """The method with its parameters set to the budget of a base of so many tokens.

        Without `protected` it is a stretch in which no tokens of the template lie. Raises `ScbenchError` if no setting
        stays within a budget in bytes.
        """
        if self.budget is None:
            return self.method
        count = self.budget.tokens(tokens, token_bytes(shape))
        if not self.budget.in_bytes:
            return self.method.with_tokens(count)
        limit = self.budget.limit(tokens * token_bytes(shape))
        return self.method.within(
            limit, count, Base(tokens, self.layout.protected if protected else ()), kv_shape(shape)
        )

    def budget_tokens(self, shape: Shape) -> int:
        """How many tokens of the base the budget allows; all of them without one."""
        base = self.layout.base
        return base if self.budget is None else self.budget.tokens(base, token_bytes(shape))

    def nominal_ratio(self, shape: Shape) -> float:
        """The share of the base that the method keeps or reads by its parameters alone."""
        base = self.layout.base
        return self.resolved(shape, base).nominal(Base(base, self.layout.protected)) if base else 1.0


@dataclass(frozen=True)
class Turn:
    """What the engine saw of one answered turn. `prompt` are the ids that the answer follows.

    `kept` are tokens per layer in the turn's view; `density` per layer the share of causal entries that a planned
    prefill computed, empty for a dense one. `gold_kept` is the share of the right answer's tokens in the context that
    the view holds, None where none are followed. `peak_bytes` are the highest memory use of prefill and decode, where
    the system tells it. An engine that is not our own leaves out what it does not tell, and adds `serving`.
    """

    answer: Answer
    prompt: tuple[int, ...]
    kept: tuple[int, ...]
    density: tuple[float, ...]
    noop: bool
    kv_bytes: KvBytes | None
    times: Mapping[str, StageTime]
    kernels: tuple[str, ...]
    peak_bytes: Mapping[str, int] = field(default_factory=dict)
    gold_kept: float | None = None
    fidelity: Fidelity | None = None
    diagnostics: Diagnostics | None = None
    serving: Serving | None = None


@dataclass(frozen=True)
class Done:
    """A job's turns, or the failure that ended it."""

    job: Job
    turns: tuple[Turn, ...] = ()
    failure: Failure | None = None


def kv_shape(shape: Shape) -> KvShape:
    """What the layers hold on which methods act."""
    full = tuple(number for number, window in enumerate(shape.windows) if window is None)
    return KvShape(full, shape.layers, shape.kv_heads, shape.query_heads, shape.head_dim, shape.dtype, shape.device)


def token_bytes(shape: Shape) -> int:
    """Bytes of one token over the layers on which methods act."""
    return max(1, shape.token_bytes * sum(window is None for window in shape.windows))
