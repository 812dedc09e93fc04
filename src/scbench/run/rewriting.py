"""Methods that rewrite the context's text: they act before it is tokenised and fitted."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scbench.config.cell import Cell
from scbench.engine.answer import Deadline, Decoder
from scbench.engine.job import token_bytes
from scbench.errors import ScbenchError
from scbench.methods.base import Base
from scbench.methods.budget import Budget
from scbench.methods.compose import compose
from scbench.models.model import ModelText
from scbench.tasks.session import Session


@dataclass(frozen=True)
class ModelReader:
    """The evaluated model, as a method that rewrites may ask it."""

    decoder: Decoder
    loaded: ModelText
    deadline: Deadline

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.decoder.adapter.shape.device

    def encode(self, text: str) -> list[int]:
        """The text's tokens, nothing added."""
        return list(self.loaded.tokenizer.encode(text, add_special_tokens=False))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens."""
        return str(self.loaded.tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))

    def surprisal(self, ids: Sequence[int]) -> Tensor:
        """-log p of each token after those before it, in nats: `[T]`, 0 for the first."""
        return self.decoder.surprisal(ids, self.deadline)


@dataclass(frozen=True)
class Rewriting:
    """What a method did to a context: the seconds that it took, its tokens before, and those that it left."""

    seconds: float
    before: int
    left: int

    @property
    def kept(self) -> float:
        """The share of the tokens that it left."""
        return self.left / self.before


def rewritten(
    session: Session, cell: Cell, decoder: Decoder | None, loaded: ModelText
) -> tuple[Session, Rewriting | None]:
    """The session with the context that the cell's method makes of it; None without one, or if it has nothing to do.

    Raises ScbenchError where the method left the text as it was although it had something to do.
    """
    method = compose(choice.build() for choice in cell.methods).at("generation")
    if method is None or not method.rewrites:
        return session, None
    if decoder is None:
        raise ScbenchError(f"{type(method).__name__} rewrites text with our own engine's model; use engine=own")
    began = time.perf_counter()
    reader = ModelReader(decoder, loaded, Deadline(cell.engine.build().timeout))
    tokens = len(reader.encode(session.context))
    if cell.budget is not None and method.uses_budget:
        method = method.with_tokens(Budget(cell.budget).tokens(tokens, token_bytes(decoder.adapter.shape)))
    if method.idle(Base(tokens)):
        return session, None
    text = method.rewrite(session.context, reader)
    seconds = time.perf_counter() - began
    if text == session.context:
        raise ScbenchError(f"{type(method).__name__} should have rewritten the context and left it as it was")
    return replace(session, context=text), Rewriting(seconds, tokens, len(reader.encode(text)))
