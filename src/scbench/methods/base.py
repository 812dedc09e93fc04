"""What a KV-cache method is: a frozen dataclass with hooks at the stages where it acts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Protocol, Self

import torch
from torch import Tensor

from scbench.kernels.plans import Plan
from scbench.methods.budget import most_tokens
from scbench.segments.base import Segment
from scbench.segments.dense import DenseSegment
from scbench.segments.kept import KeptSegment

if TYPE_CHECKING:
    from scbench.models.model import ModelConfig

STAGES = ("generation", "compression", "retrieval", "loading")
CHUNK, PROMPT = "chunk", "prompt"

Cache = DenseSegment | KeptSegment  # what a method finds: `k_GLD`, `v_GLD`, `position_GL`, `select`


@dataclass(frozen=True)
class Base:
    """What a method may know of the base when it acts at its end.

    `tokens` is the base's length; `protected` are the intervals [start, stop) of chat template and system
    text inside it, which every method keeps and counts in its budget.
    """

    tokens: int
    protected: tuple[tuple[int, int], ...] = ()

    def unless(self, protect: bool) -> Base:
        """The same, without protected tokens unless they are to be kept."""
        return self if protect else replace(self, protected=())

    def protected_positions(self, device: torch.device) -> Tensor:
        """The protected logical positions, ascending."""
        spans = [torch.arange(start, min(stop, self.tokens), device=device) for start, stop in self.protected]
        return torch.cat(spans) if spans else torch.empty(0, dtype=torch.long, device=device)


@dataclass(frozen=True)
class Layer:
    """The layer on which a hook is called: its number among all layers, how many there are, and how many query heads
    of a `group` share a KV head."""

    index: int
    count: int
    group: int = 1


@dataclass(frozen=True)
class Queries:
    """The last queries of a layer when a method acts: `q_HWD` after RoPE, of logical positions [start, stop).

    They end with the base, or, in multi-request mode with `query=aware`, with the first question, which lies behind
    the base and does not stay there.
    """

    q_HWD: Tensor
    stop: int
    scale: float

    @property
    def start(self) -> int:
        """Logical position of the first one."""
        return self.stop - self.q_HWD.shape[1]


@dataclass(frozen=True)
class Prompt:
    """Rows [start, stop) of a prompt of `total` tokens, as a prefill hook sees a layer.

    `q_HTD` are the rows' queries, `k_GLD` the keys of [0, stop). With the horizon `prompt` the rows are all of it.
    """

    q_HTD: Tensor
    k_GLD: Tensor
    start: int
    total: int
    scale: float


@dataclass(frozen=True)
class Deviation:
    """Per token of the context, the squared distance of reused keys and values from those computed anew: `[L]`."""

    k_L: Tensor
    v_L: Tensor


@dataclass(frozen=True)
class Passes:
    """How the model's passes are cut: `chunk` tokens of a prompt at a time, `width` branches in a batch."""

    chunk: int
    width: int


class Reader(Protocol):
    """What a method that rewrites text may ask of the model that will read it."""

    @property
    def device(self) -> torch.device:
        """Where it is."""

    def encode(self, text: str) -> list[int]:
        """The text's tokens."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens."""

    def surprisal(self, ids: Sequence[int]) -> Tensor:
        """-log p of each token after those before it, in nats: `[T]`, 0 for the first."""


@dataclass(frozen=True)
class Method:
    """A method that does nothing: the dense cache. Others override the hooks of the stages where they act.

    Class attributes declare what the rest of the system must know without running it:
    `uses_budget` whether the shared budget changes anything (if not, one cell stands for all budgets);
    `uses_bytes` whether one in bytes does, though one in tokens does not;
    `family_key` which prefill the method needs (methods with the same key share it);
    `stages` at which of the four KV stages it acts;
    `observes` whether it looks at queries when it acts;
    `horizon` what its prefill plan must see: a `chunk`, or the whole `prompt`;
    `rewrites` whether it changes the context's text;
    `compares` the layer at which a retrieval method wants to know how far reused KV is from what it should be;
    `focuses` whether it chooses at the end of every prompt what the answer reads (`focus`), not once (`load`);
    `needs_dense` whether it can act on a dense cache only, not on what a compression has left;
    `repeats` whether compressing again at a later point changes anything (`compress=each|isolated`);
    `files` which options name a file: of these `contents` counts, not the name;
    `engine` the engine that has it, `own` for all that act through these hooks;
    `mark` what tables say beside its name, if its name alone would promise too much.
    """

    uses_budget: ClassVar[bool] = False
    uses_bytes: ClassVar[bool] = False
    family_key: ClassVar[str] = "dense"
    stages: ClassVar[tuple[str, ...]] = ()
    observes: ClassVar[bool] = False
    horizon: ClassVar[str] = CHUNK
    rewrites: ClassVar[bool] = False
    repeats: ClassVar[bool] = False
    compares: ClassVar[int | None] = None
    focuses: ClassVar[bool] = False
    needs_dense: ClassVar[bool] = False
    files: ClassVar[tuple[str, ...]] = ()
    engine: ClassVar[str] = "own"
    mark: ClassVar[str] = ""

    @classmethod
    def only_plans(cls) -> bool:
        """Whether all it does is to plan how the base is read: in later prompts the cache is whole, and dense."""
        return cls.stages == ("generation",) and not cls.rewrites

    def contents(self) -> Mapping[str, object]:
        """What names the content of its files, as plain values: part of a cell's fingerprint."""
        return {}

    def check_model(self, layers: int, heads: int) -> None:
        """Raise `ScbenchError` if it cannot act on a model of so many layers that attend, and query heads in each.

        Asked of a method that changes the prefill, before weights are loaded.
        """

    def with_tokens(self, tokens: int) -> Self:
        """The same method with its parameters set so that it keeps, or reads, at most `tokens` tokens per layer."""
        return self

    def largest(self, fits: Callable[[Self], bool], tokens: int) -> Self | None:
        """The largest setting for a base of `tokens` tokens that fits a budget in bytes; None if none does."""
        if not self.uses_budget:
            return self
        count = most_tokens(lambda number: fits(self.with_tokens(number)), tokens)
        return None if count is None else self.with_tokens(count)

    def nominal(self, base: Base) -> float:
        """The share of a base that it keeps or reads by its parameters alone: a label, without metadata."""
        return 1.0

    def lossless(self) -> Self:
        """The setting with which the method must equal the dense cache, token for token."""
        return self

    def idle(self, base: Base) -> bool:
        """Whether the method has nothing to do on this base (its budget covers it): the outcome is `noop`."""
        return False

    @property
    def grows(self) -> bool:
        """Whether its form takes over tokens that come later, so that it is made even where it is idle on the base."""
        return False

    def takes_part(self, base: Base) -> bool:
        """Whether it has something to do on this base, or will have as it grows."""
        return not self.idle(base) or (self.grows and not self.idle(Base(2**40)))

    def acts_on(self, layer: Layer) -> bool:
        """Whether it acts on this full-attention layer at all; others stay dense."""
        return True

    @property
    def queries(self) -> int:
        """How many of the last queries its hooks want to see."""
        return 0

    @property
    def passes(self) -> Passes | None:
        """How prefill and decoding are cut for it, where that is not the engine's choice (a bound for its noise)."""
        return None

    @property
    def per_query_head(self) -> bool:
        """Whether the budget is each query head's own, so that a KV head may keep the union of several."""
        return False

    @property
    def weights(self) -> ModelConfig | None:
        """A model of its own that it reads, if any: what it holds is part of the fingerprint of the method's cells."""
        return None

    def ready(self) -> None:
        """Load such a model, once for many sessions; raises `ScbenchError` where it is missing."""

    def rewrite(self, context: str, reader: Reader) -> str:
        """Generation: the context's text before it is tokenised and fitted; `reader` is the model that will read it."""
        raise TypeError(f"{type(self).__name__} does not rewrite the context")

    def prefill(self, prompt: Prompt, layer: Layer) -> Plan | None:
        """Generation: what the base's rows read in a full-attention layer; None for everything."""
        raise TypeError(f"{type(self).__name__} declares the generation stage but has no prefill()")

    def reuse(self, base: Base) -> tuple[int, ...]:
        """Retrieval: where the pieces of the context begin whose KV was computed apart, each without the others.

        Ascending positions above 0. `base` is the context alone: what lies behind it is read over the whole.
        """
        raise TypeError(f"{type(self).__name__} declares the retrieval stage but has no reuse()")

    def recompute(self, cuts: tuple[int, ...], deviation: Deviation | None, base: Base) -> Tensor:
        """Retrieval: the positions of the context, ascending, whose KV is computed again over everything before.

        `deviation` is that of layer `compares`, for methods that name one.
        """
        raise TypeError(f"{type(self).__name__} declares the retrieval stage but has no recompute()")

    def compress(self, cache: Cache, queries: Queries | None, layer: Layer, base: Base) -> Segment:
        """Compression: another form of a full-attention layer's KV, made at the end of the base.

        It returns a new segment, which covers the cache from its start; what it leaves uncovered at the end stays
        dense. Sliding-window layers keep their window. `base.tokens` is the length so far.
        """
        raise TypeError(f"{type(self).__name__} declares the compression stage but has no compress()")

    def load(self, cache: Cache, layer: Layer, base: Base) -> Segment:
        """Loading: the same KV with another way of reading it."""
        raise TypeError(f"{type(self).__name__} declares the loading stage but has no load()")

    def focus(self, cache: Cache, queries: Queries | None, layer: Layer, base: Base) -> Segment:
        """Loading, for methods with `focuses`: what the answer to the prompt that ends here reads of all tokens so far.

        Called anew at the end of every prompt, with the prompt's last queries. The cache itself stays, and the next
        prompt is read over the whole of it. `base.tokens` is the length so far.
        """
        raise TypeError(f"{type(self).__name__} declares that it focuses but has no focus()")
