"""The checks of a method that rewrites text: what the model then reads is an ordinary prompt."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from scbench.conformance import stage
from scbench.conformance.result import Result, tried
from scbench.engine.adapter import Adapter
from scbench.engine.answer import Deadline, Decoder
from scbench.kernels.choose import Kernels
from scbench.methods.base import Method

WORDS = 400


@dataclass
class WordReader:
    """A reader whose tokens are words with the blanks behind them, as far as a tiny model has tokens for them."""

    decoder: Decoder
    known: dict[str, int] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        """That of the tiny model."""
        return self.decoder.adapter.shape.device

    def encode(self, text: str) -> list[int]:
        """A number per different word."""
        return [self.known.setdefault(word, len(self.known)) for word in re.findall(r"\s*\S+\s*", text)]

    def decode(self, ids: Sequence[int]) -> str:
        """The words again."""
        words = list(self.known)
        return "".join(words[token] for token in ids)

    def surprisal(self, ids: Sequence[int]) -> Tensor:
        """That of the tiny model, which has fewer tokens than there are words."""
        with torch.inference_mode():
            return self.decoder.surprisal([3 + token % (stage.VOCABULARY - 3) for token in ids], Deadline(None))


def check_rewriting(method: Method, budget: int) -> Iterator[Result]:
    """Every check of `method.rewrite`; `budget` is what it is set to, if it takes one.

    Raises `ScbenchError` where the method lacks a model of its own.
    """
    method.ready()
    text = _text(WORDS)

    def rewritten(one: Method, given: str) -> str:
        return one.rewrite(given, _reader())

    def acts() -> str:
        new = rewritten(method, text)
        if new == text:
            return "leaves the text as it was; give it options with which it acts"
        return "" if new.strip() else "leaves nothing"

    def same() -> str:
        return "" if rewritten(method, text) == rewritten(method, text) else "another text for the same context"

    def lossless() -> str:
        return "" if rewritten(method.lossless(), text) == text else "its lossless setting changes the text"

    def keeps() -> str:
        if not method.uses_budget:
            return ""
        reader = _reader()
        tokens = len(reader.encode(method.rewrite(text, reader)))
        return "" if tokens <= budget else f"leaves {tokens} tokens for a budget of {budget}"

    def short() -> str:
        return "" if rewritten(method, "word").strip() else "leaves nothing of a context of one word"

    yield from tried(
        [
            ("acts", acts),
            ("the same twice", same),
            ("lossless() leaves the text as it is", lossless),
            ("keeps what its budget says", keeps),
            ("context of one word", short),
        ]
    )


def _reader() -> WordReader:
    model = stage.model("grouped-query")
    return WordReader(Decoder(Adapter(model), Kernels(model.device, model.dtype), 64))


def _text(words: int) -> str:
    source = random.Random(words)
    letters = "abcdefghijklmnopqrstuvwxyz"
    made = ["".join(source.choices(letters, k=source.randint(1, 9))) for _ in range(words)]
    return ". ".join(" ".join(made[at : at + 9]) for at in range(0, words, 9)) + "."
