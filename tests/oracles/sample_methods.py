"""Methods at the stages that no built-in method has yet."""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from scbench.methods.base import Method


@dataclass(frozen=True)
class Pieces(Method):
    """Three pieces of a context; of each the first `repaired` tokens are computed again."""

    family_key: ClassVar[str] = "pieces"
    stages: ClassVar[tuple[str, ...]] = ("retrieval",)

    repaired: int = 2

    def lossless(self):
        return replace(self, repaired=2**40)

    def reuse(self, base):
        return tuple(cut for cut in (base.tokens // 3, base.tokens // 2) if cut)[:2] if base.tokens > 3 else ()

    def recompute(self, cuts, deviation, base):
        first = [torch.arange(cut, min(cut + self.repaired, base.tokens)) for cut in cuts]
        return torch.cat(first) if first else torch.empty(0, dtype=torch.long)


@dataclass(frozen=True)
class Blending(Pieces):
    """Those that deviate most at layer 1."""

    compares: ClassVar[int | None] = 1

    def recompute(self, cuts, deviation, base):
        return deviation.v_L.topk(min(self.repaired, base.tokens)).indices.sort().values


@dataclass(frozen=True)
class Surprising(Method):
    """The most surprising tokens, in their order."""

    uses_budget: ClassVar[bool] = True
    family_key: ClassVar[str] = "surprising"
    stages: ClassVar[tuple[str, ...]] = ("generation",)
    rewrites: ClassVar[bool] = True

    tokens: int = 100

    def with_tokens(self, tokens):
        return replace(self, tokens=tokens)

    def lossless(self):
        return replace(self, tokens=2**40)

    def rewrite(self, context, reader):
        ids = reader.encode(context)
        kept = reader.surprisal(ids).topk(min(self.tokens, len(ids))).indices.sort().values.tolist()
        return reader.decode([ids[place] for place in kept])


@dataclass(frozen=True)
class Verbose(Surprising):
    """Keeps more than it may."""

    def with_tokens(self, tokens):
        return replace(self, tokens=tokens + 1)


@dataclass(frozen=True)
class Sloppy(Pieces):
    """Computes other tokens again than it should for a lossless cache."""

    def recompute(self, cuts, deviation, base):
        return super().recompute(cuts, deviation, base)[1:]
