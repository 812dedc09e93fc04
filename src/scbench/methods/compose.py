"""Several methods as one: each acts at its own stages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from scbench.errors import ScbenchError
from scbench.methods.base import Base, Method, Passes
from scbench.methods.budget import Limit
from scbench.methods.fitting import KvShape, fitted


@dataclass(frozen=True)
class Composition:
    """Methods that act together, each at stages of its own; make one with `compose`."""

    parts: tuple[Method, ...]

    def at(self, stage: str) -> Method | None:
        """The part that acts at a stage, if one does."""
        return next((part for part in self.parts if stage in part.stages), None)

    @property
    def uses_budget(self) -> bool:
        """Whether the budget changes anything."""
        return any(part.uses_budget for part in self.parts)

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages at which some part acts."""
        return tuple(stage for part in self.parts for stage in part.stages)

    @property
    def queries(self) -> int:
        """How many of the last queries the parts want to see."""
        return max((part.queries for part in self.parts), default=0)

    @property
    def passes(self) -> Passes | None:
        """How the passes are cut for the part that asks for it, if one does."""
        return next((part.passes for part in self.parts if part.passes is not None), None)

    def with_tokens(self, tokens: int) -> Composition:
        """Every part that uses the budget, set to it."""
        return Composition(tuple(part.with_tokens(tokens) if part.uses_budget else part for part in self.parts))

    def within(self, limit: Limit, tokens: int, base: Base, shape: KvShape) -> Composition:
        """Every part in its largest setting within a budget in bytes; raises `ScbenchError` if a part has none.

        Each is solved for as if alone. What acts on the prefill alone reads as many tokens as the bytes hold densely.
        """
        return Composition(tuple(_within(part, limit, tokens, base, shape) for part in self.parts))

    def nominal(self, base: Base) -> float:
        """The share of a base that is kept or read by the parts' parameters alone."""
        return min((part.nominal(base) for part in self.parts), default=1.0)

    def lossless(self) -> Composition:
        """Every part in its lossless setting."""
        return Composition(tuple(part.lossless() for part in self.parts))

    def acting(self, base: Base) -> Composition:
        """The parts that have something to do on this base, or will have as it grows."""
        return replace(self, parts=tuple(part for part in self.parts if not part.stages or part.takes_part(base)))

    def idle(self, base: Base) -> bool:
        """Whether no part has anything to do on this base. What rewrites the text has acted before, if at all."""
        return all(part.idle(base) for part in self.parts if part.stages and not part.rewrites)

    @property
    def growing(self) -> bool:
        """Whether some part's form takes over tokens that come later."""
        return any(part.grows and part.takes_part(Base(2**40)) for part in self.parts)


def _within(part: Method, limit: Limit, tokens: int, base: Base, shape: KvShape) -> Method:
    if not base.tokens or not (part.uses_budget or part.uses_bytes):
        return part
    if "compression" in part.stages or "loading" in part.stages:
        return fitted(part, limit, base, shape)
    return part.with_tokens(tokens)


def compose(parts: Iterable[Method]) -> Composition:
    """The methods as one; raises `ScbenchError` where two act at the same stage or cannot follow one another."""
    parts = tuple(parts)
    for stage in {stage for part in parts for stage in part.stages}:
        names = [type(part).__name__ for part in parts if stage in part.stages]
        if len(names) > 1:
            raise ScbenchError(f"method: {' and '.join(names)} both act at the {stage} stage; choose one of them")
    bases = [
        part for part in parts if "retrieval" in part.stages or ("generation" in part.stages and not part.rewrites)
    ]
    if len(bases) > 1:
        names = [type(part).__name__ for part in bases]
        raise ScbenchError(f"method: {' and '.join(names)} both decide how the base is read; choose one of them")
    picky = next((part for part in parts if part.needs_dense), None)
    before = next((part for part in parts if "compression" in part.stages and part is not picky), None)
    if picky is not None and before is not None:
        said = f"{type(picky).__name__} needs a dense cache, and {type(before).__name__} leaves none"
        raise ScbenchError(f"method: {said}; choose one of them")
    return Composition(parts)
