"""LLMLingua-2: leave out of the context's text what is least worth keeping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import accumulate, pairwise
from typing import ClassVar, Self

from scbench.errors import ScbenchError
from scbench.methods.base import Base, Method, Reader
from scbench.methods.generation.shortening import Piece, Shortening, merged
from scbench.methods.generation.surprise import surprising
from scbench.methods.generation.token_classifier import load
from scbench.models.model import ModelConfig

CLASSIFIER, SELF_INFORMATION = "classifier", "self_information"
WINDOW, CONTEXT = "window", "context"


@dataclass(frozen=True)
class LLMLingua2(Method):
    """Words that are likely to be worth keeping stay in the context's text (arXiv 2403.12968, §3).

    The `classifier` of `path` (and `revision`) reads the context in windows of `window` tokens, each up to the last
    end of a sentence or line in it, and says of every token how likely it is worth keeping. A word is worth the mean
    over its tokens. The share `rate` of the context's tokens stays, or `tokens` of them if given, as the evaluated
    model counts them: texts of `force` first, then the words worth most, `within` each window as in the authors' code
    or the whole `context` as in the paper. `drop_repeated` leaves out forced texts that follow the same one. Runs of
    blanks become one; questions stay as they are.

    With `scorer=self_information` no other model is needed: a word is worth what its tokens surprise the evaluated
    model on average (Selective Context, arXiv 2310.06201), and the whole context is one window.

    Memory O(rate·n), prefill O(n) for the classifier (O(n²) for the evaluated model) and O((rate·n)²), decode
    O(rate·n) per token. Defaults are SCBench's.
    """

    uses_budget: ClassVar[bool] = True
    family_key: ClassVar[str] = "llmlingua2"
    stages: ClassVar[tuple[str, ...]] = ("generation",)
    rewrites: ClassVar[bool] = True

    scorer: str = CLASSIFIER
    rate: float = 0.3333
    tokens: int | None = None
    force: tuple[str, ...] = ("\n", "?")
    drop_repeated: bool = False
    path: str = "microsoft/llmlingua-2-xlm-roberta-large-meetingbank"
    revision: str | None = None
    window: int = 512
    within: str = WINDOW

    def __post_init__(self) -> None:
        for name, known in (("scorer", (CLASSIFIER, SELF_INFORMATION)), ("within", (WINDOW, CONTEXT))):
            value = getattr(self, name)
            if value not in known:
                raise ScbenchError(f"llmlingua2: {name}={value}: expected one of {', '.join(known)}")
        if not 0 < self.rate <= 1 or (self.tokens is not None and self.tokens < 1):
            raise ScbenchError(f"llmlingua2: rate={self.rate} must be in (0, 1], tokens={self.tokens} at least 1")
        if self.window < 4 or "" in self.force:
            raise ScbenchError(f"llmlingua2: window={self.window} must be at least 4, and no text of force empty")

    @property
    def weights(self) -> ModelConfig | None:
        """The classifier."""
        return ModelConfig(self.path, self.revision) if self.scorer == CLASSIFIER else None

    def ready(self) -> None:
        """Load the classifier."""
        if self.weights is not None:
            load(self.weights, self.force)

    def with_tokens(self, tokens: int) -> Self:
        """So many tokens of the context."""
        return replace(self, tokens=tokens)

    def lossless(self) -> Self:
        """All of the context."""
        return replace(self, rate=1.0, tokens=None)

    def idle(self, base: Base) -> bool:
        """The whole context may stay."""
        return self._budget(base.tokens) >= base.tokens

    def rewrite(self, context: str, reader: Reader) -> str:
        """The context without the words that are worth least."""

        @cache  # most words come again
        def cost(text: str) -> int:
            return len(reader.encode(text))

        total = cost(context)
        budget = self._budget(total)
        if budget >= total:
            return context
        read = [merged(pieces, cost) for pieces in self._windows(context, reader)]
        words = [word for window in read for word in window]
        stops = list(accumulate(map(len, read), initial=0)) if self.within == WINDOW else [0, len(words)]
        windows = [range(*span) for span in pairwise(stops)]
        return Shortening(budget, total, cost, self.drop_repeated)(words, windows)

    def _budget(self, tokens: int) -> int:
        return int(self.rate * tokens) if self.tokens is None else self.tokens

    def _windows(self, context: str, reader: Reader) -> Sequence[Sequence[Piece]]:
        weights = self.weights
        if weights is None:
            return [surprising(context, self.force, reader)]
        return load(weights, self.force).windows(context, self.window, reader.device)
