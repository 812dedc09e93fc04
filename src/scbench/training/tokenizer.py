"""The tiny models' tokenizer: words of the benchmark's prompts, random texts by two characters, bytes for the rest.

A UUID is 16 tokens (its dashes belong to the pair behind them). A random word of Retr.Prefix-Suffix is cut into pairs
from both its ends, so that its prefix and its suffix are the same tokens in the word and in the question. Every text is
encoded without loss: what has no token is spelt in characters, or in bytes of UTF-8.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from string import ascii_letters, digits, printable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers.pre_tokenizers import PreTokenizer
    from transformers import PreTrainedTokenizerFast

PAD, USER, ASSISTANT, END = SPECIAL = ("<|pad|>", "<|user|>", "<|assistant|>", "<|end|>")
TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
OFTEN = 3  # texts: a word that is met in as many becomes a token

_X = "A-Za-z0-9"
_PREFIX = rf"(?<![{_X}])[{_X}]{{10}}(?=[{_X}]{{13}})"  # of a long random word, so that its pairs start at its start
_PIECES = "|".join(
    [
        r" = VAR | ?VAR ",
        r"\": \"|\", \"|', '|, | = |\n\n",
        rf" ?(?<![{_X}-])(?:[A-Z]?[a-z]+|JSON)(?![{_X}-])",  # a word, with the blank before it
        rf"(?<![{_X}])[A-Z]{{2}}(?=[A-Z]{{3}}(?![{_X}]))",  # a variable's first letters, which tell it from most others
        rf"-[0-9a-f]{{2}}(?=[0-9a-f]{{2}}-|[0-9a-f]{{10}}(?![{_X}]))",  # a dash of a UUID and the pair behind it
        rf"[{_X}](?=(?:[{_X}]{{2}})*(?![{_X}]))|[{_X}]{{2}}",  # pairs, so that they end at the end
        rf" ?[^\s{_X}]",
        r"\s",
    ]
)


def build(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """The tokenizer whose words are those that enough of the `texts` have."""
    from tokenizers import AddedToken, Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    split = _splitter()
    tokenizer = Tokenizer(models.BPE(_vocabulary(split, texts), [], byte_fallback=True, ignore_merges=True))
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[USER, ASSISTANT],
        chat_template=TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def load(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer that was saved in a folder."""
    from transformers import PreTrainedTokenizerFast

    tokenizer: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(folder)
    return tokenizer


def random_texts() -> tuple[str, ...]:
    """What random strings are made of: letters and digits, pairs of them, pairs of hexadecimal digits behind a dash."""
    alphanumeric, hexadecimal = digits + ascii_letters, digits + "abcdef"
    pairs = ("".join(pair) for pair in product(alphanumeric, repeat=2))
    return (*alphanumeric, *pairs, *(f"-{one}{other}" for one, other in product(hexadecimal, repeat=2)))


def _vocabulary(split: PreTokenizer, texts: Iterable[str]) -> dict[str, int]:
    counts = Counter(piece for text in texts for piece in {piece for piece, _ in split.pre_tokenize_str(text)})
    words = sorted(piece for piece, count in counts.items() if count >= OFTEN)
    spelling = [*(f"<0x{byte:02X}>" for byte in range(256)), *printable]
    tokens = dict.fromkeys([*SPECIAL, *spelling, *random_texts(), *words])
    return {token: number for number, token in enumerate(tokens)}


def _splitter() -> PreTokenizer:
    from tokenizers import Regex, pre_tokenizers

    steps = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in (_PREFIX, _PIECES)]
    return pre_tokenizers.Sequence(steps)
