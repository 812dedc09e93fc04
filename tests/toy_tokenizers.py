"""Small real tokenizers, made in a moment and offline: byte-level BPE, and SentencePiece-like."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

TEXT = (
    "You are a helpful assistant. The quick brown fox jumps over the lazy dog.\n\nQuestion: where was it hidden?\n"
    'Answer: in the old mill, at 7:40.\n\nJSON data: {"key": "value", "other": "12345"}\n\n[123, 456, 789]\n\n\n'
    "Read the book and answer the question. Be very concise. Extract the value of the specified key below.\n"
)


@cache
def _trained() -> str:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([TEXT] * 8, trainer)
    return tokenizer.to_str()


def byte_level(
    special: Sequence[str],
    *,
    eos: str,
    bos: str | None = None,
    template: str | None = None,
    adds_bos: bool = False,
) -> Any:
    """A byte-level BPE tokenizer (as GPT-2, Llama 3, Qwen) with these special tokens and chat template."""
    tokenizer = Tokenizer.from_str(_trained())
    tokenizer.add_special_tokens(list(special))
    if adds_bos:
        ids = [(token, tokenizer.token_to_id(token)) for token in special if token == bos]
        tokenizer.post_processor = processors.TemplateProcessing(single=f"{bos} $A", special_tokens=ids)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=bos,
        eos_token=eos,
        chat_template=template,
        clean_up_tokenization_spaces=False,
    )


def sentence_piece(template: str | None = None) -> Any:
    """A tokenizer that puts a blank before every text, as Llama 2's does; a character is a token."""
    signs = sorted({*TEXT, *"▁ABCDEFGHIJKLMNOPQRSTUVWXYZ!<>/()[]"} - {" "})
    vocabulary = {token: place for place, token in enumerate(["<unk>", "<s>", "</s>", *signs])}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges=[], unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse()])
    tokenizer.add_special_tokens(["<s>", "</s>"])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        chat_template=template,
        clean_up_tokenization_spaces=False,
    )
