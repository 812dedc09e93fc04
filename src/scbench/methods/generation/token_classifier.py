"""LLMLingua-2's token classifier: how likely each piece of a text is to be worth keeping."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch

from scbench.errors import ScbenchError
from scbench.methods.generation.shortening import Piece
from scbench.models.model import ModelConfig, explained, identity

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

KEEP = 1  # the label of what is worth keeping
BATCH = 16  # windows read at once
_BLANK = "▁"  # SentencePiece's mark of a piece with a blank before it
_OPTION = "method.path"


@dataclass(frozen=True)
class Token:
    """A piece of the classifier's vocabulary at its place in a text, with the blank before it."""

    id: int
    text: str
    begins: bool
    forced: bool
    ends: bool  # a sentence or a line, so that a window may end behind it


@dataclass(frozen=True)
class TokenClassifier:
    """A classifier in the host's memory; it is on the device only while it reads.

    `marks` are the ids of the tokens that stand for forced texts which are no piece of the vocabulary.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    forced: tuple[str, ...]
    marks: Mapping[str, int]

    def windows(self, text: str, size: int, device: torch.device) -> list[list[Piece]]:
        """The text's pieces in windows of `size` tokens, two of them the classifier's own; scores are P(keep)."""
        tokens = self.tokens(text)
        cut = [tokens[start:stop] for start, stop in cuts([token.ends for token in tokens], size - 2)]
        scores: list[list[float]] = []
        with _on(self.model, device), torch.inference_mode():
            for at in range(0, len(cut), BATCH):
                scores += self._scores([[token.id for token in window] for window in cut[at : at + BATCH]])
        return [
            [Piece(t.text, (score,), t.begins, t.forced) for t, score in zip(window, found, strict=True)]
            for window, found in zip(cut, scores, strict=True)
        ]

    def tokens(self, text: str) -> list[Token]:
        """The text's pieces. A run of blanks counts as one; what the vocabulary cannot spell stays as it is written."""
        parts = re.split(f"({'|'.join(map(re.escape, self.marks))})", text) if self.marks else [text]
        tokens: list[Token] = []
        for number, part in enumerate(parts):
            if number % 2:
                tokens.append(Token(self.marks[part], part, True, True, part == "\n"))
            else:
                tokens += self._pieces(part)
        return tokens

    def _pieces(self, text: str) -> Iterator[Token]:
        read = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        pieces = self.tokenizer.convert_ids_to_tokens(read.input_ids)
        at = 0
        for token, piece, (start, stop) in zip(read.input_ids, pieces, read.offset_mapping, strict=True):
            bare = piece.removeprefix(self._continued) if self._continued else piece.lstrip(_BLANK)
            start = max(at, start)
            stop = max(start, stop) if bare else start  # a blank of its own is given the place of what follows it
            blank = re.sub(r"\s+", " ", text[at:start])
            forced = bare in self.forced
            yield Token(token, blank + text[start:stop], forced or self._begins(piece), forced, piece == ".")
            at = stop

    def _begins(self, piece: str) -> bool:
        """Whether a piece begins a word: as the vocabulary marks it, and in SentencePiece's also at punctuation."""
        if self._continued:
            return not piece.startswith(self._continued)
        return piece.startswith(_BLANK) or piece in string.punctuation

    @property
    def _continued(self) -> str:
        """WordPiece's mark of a piece that goes on; empty for SentencePiece."""
        return getattr(self.tokenizer.backend_tokenizer.model, "continuing_subword_prefix", None) or ""

    def _scores(self, windows: Sequence[Sequence[int]]) -> list[list[float]]:
        """P(keep) of every piece of some windows, read as one batch."""
        rows = [[self.tokenizer.cls_token_id, *window, self.tokenizer.sep_token_id] for window in windows]
        width = max(map(len, rows))
        pad, device = self.tokenizer.pad_token_id, self.model.device
        ids_BT = torch.tensor([row + [pad] * (width - len(row)) for row in rows], device=device)
        mask_BT = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=device)
        keep_BT = self.model(input_ids=ids_BT, attention_mask=mask_BT).logits.float().softmax(-1)[..., KEEP].tolist()
        return [found[1 : 1 + len(window)] for found, window in zip(keep_BT, windows, strict=True)]


def cuts(ends: Sequence[bool], room: int) -> Iterator[tuple[int, int]]:
    """Windows [start, stop) of at most `room` pieces; one that is not the last stops behind the last of its pieces that
    `ends`, its first one excepted, or, without such a piece, where it is full.
    """
    start = 0
    while len(ends) - start > room:
        full = start + room
        stop = next((at + 1 for at in range(full - 1, start, -1) if ends[at]), full)
        yield start, stop
        start = stop
    if start < len(ends):
        yield start, len(ends)


@lru_cache(maxsize=1)  # read once, not for every session; another one takes its place
def load(config: ModelConfig, forced: tuple[str, ...]) -> TokenClassifier:
    """The classifier and its tokenizer in the host's memory; raises ScbenchError where it is missing or no such thing.

    Forced texts that are not one piece of the vocabulary get tokens of their own, `[NEW0]` and so on by their number,
    which the published checkpoints may know; a vector that is missing is the mean of all.
    """
    from transformers import AutoConfig, AutoModelForTokenClassification, AutoTokenizer

    identity(config, _OPTION)  # says it plainly when there is no such folder
    with explained(f"{_OPTION}={config.path}"):
        settings = AutoConfig.from_pretrained(config.path, revision=config.revision)
        kinds = settings.architectures or []
        if settings.num_labels != 2 or not any("ForTokenClassification" in kind for kind in kinds):
            raise ScbenchError(f"{_OPTION}={config.path}: is no token classifier with two labels; see conf/method")
        tokenizer = AutoTokenizer.from_pretrained(config.path, revision=config.revision, model_max_length=10**9)
        model = AutoModelForTokenClassification.from_pretrained(
            config.path, revision=config.revision, dtype=torch.float32, use_safetensors=True
        )
    names = [f"[NEW{number}]" for number in range(len(forced))]
    marks = {text: name for text, name in zip(forced, names, strict=True) if len(tokenizer.tokenize(text)) != 1}
    if marks:
        tokenizer.add_tokens(names)
        _widen(model, len(tokenizer))
    ids = {text: tokenizer.convert_tokens_to_ids(name) for text, name in marks.items()}
    return TokenClassifier(model.eval().requires_grad_(False), tokenizer, forced, ids)


def _widen(model: PreTrainedModel, tokens: int) -> None:
    """Give tokens that have no vector the mean of those that have one."""
    known = model.get_input_embeddings().weight.shape[0]
    if tokens <= known:
        return
    model.resize_token_embeddings(tokens, mean_resizing=False)
    weight_VD = model.get_input_embeddings().weight.data
    weight_VD[known:] = weight_VD[:known].mean(dim=0)


@contextmanager
def _on(model: Any, device: torch.device) -> Iterator[None]:
    """The model on the device, and back where it was afterwards: the memory belongs to the model that is evaluated."""
    home = model.device
    model.to(device)
    try:
        yield
    finally:
        model.to(home)
