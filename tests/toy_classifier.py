"""Tiny token classifiers with random weights, as folders: one of SentencePiece's kind, one of WordPiece's."""

import string

import torch
from transformers import (
    BertConfig,
    BertForTokenClassification,
    BertTokenizer,
    XLMRobertaConfig,
    XLMRobertaForTokenClassification,
    XLMRobertaTokenizer,
)

_SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "initializer_range": 0.7,  # so that every piece has a probability of its own
}
_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
_PIECES = ["▁", *"abcdefgh", *string.digits, *string.punctuation, "中", "文", "ab", "ead", "bed", '",', "()"]
_STARTS = ["▁a", "▁b", "▁c", "▁bed", "▁head", "▁?", "▁."]


def save_sentence_piece(path, seed=0, labels=2):
    """Like XLM-R: a piece with a blank before it begins with ▁."""
    vocabulary = [(piece, 0.0) for piece in _SPECIAL]
    vocabulary += [(piece, -4.0 + len(piece) / 10) for piece in [*_PIECES, *_STARTS]]
    tokenizer = XLMRobertaTokenizer(vocab=[*vocabulary, ("<mask>", 0.0)])
    torch.manual_seed(seed)
    config = XLMRobertaConfig(
        **_SIZES, vocab_size=len(tokenizer), max_position_embeddings=514, num_labels=labels, type_vocab_size=1
    )
    XLMRobertaForTokenClassification(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def save_word_piece(path):
    """Like BERT: a piece that goes on begins with ##."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "head", "bed", "##ed", "##head", "?", ".", "a", "##a"]
    tokenizer = BertTokenizer(vocab={word: place for place, word in enumerate(words)})
    torch.manual_seed(0)
    BertForTokenClassification(BertConfig(**_SIZES, vocab_size=len(words), num_labels=2)).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path
