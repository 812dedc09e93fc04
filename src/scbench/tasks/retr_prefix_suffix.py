"""Retr.Prefix-Suffix: find the one word of a long list that starts and ends as asked."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from string import ascii_letters, digits
from typing import Any, ClassVar

from scbench.tasks.base import FieldError, Group, Task
from scbench.tasks.fit import Encoder, Supply
from scbench.tasks.session import Session, Turn

AFFIX = 10  # characters of a prefix and of a suffix: 62^10 of them, so none is met by chance
LENGTHS = range(65, 123)  # characters of a word
ROUNDS = 2  # of near misses, each with one for every prefix and every suffix

Affixes = tuple[str, str]
Placed = tuple[float, str]  # depth in the list, and the word there

_ALPHABET = (ascii_letters + digits).encode()
_FAIR = 256 - 256 % len(_ALPHABET)  # bytes from here on would favour the alphabet's first letters
_LETTERS = bytes(_ALPHABET[byte % len(_ALPHABET)] for byte in range(256))
_UNFAIR = bytes(range(_FAIR, 256))


@dataclass(frozen=True)
class RetrPrefixSuffix(Task):
    """Random words of letters and digits; near misses have an asked prefix or an asked suffix, never both.

    A near miss joins the prefix of one asked word with the suffix of another, so that each question has `ROUNDS`
    words with only its prefix and as many with only its suffix (one of each where the context is very short).
    """

    max_new_tokens: int = 150

    name: ClassVar[str] = "retr_prefix_suffix"
    title: ClassVar[str] = "Retr.Prefix-Suffix"
    group: ClassVar[str] = "String retrieval"
    metric: ClassVar[str] = "Accuracy"
    published: ClassVar[str] = "scbench_prefix_suffix"

    def generate(self, index: int, tokenizer: Encoder) -> Session:
        """One word per turn, anywhere in the list."""
        affixes = self._affixes(index)
        letters = _Letters(self.random(index, "letters"))
        source = self.random(index, "words")
        targets = [_word(affix, letters, source) for affix in affixes]
        words = chain(targets, _near_misses(affixes, letters, source), _others(affixes, letters, source))
        depths = self.random(index, "depths")
        placed = Supply((depths.random(), word) for word in words)
        fitted = self.fitted(
            lambda count: render_words([word for _, word in sorted(placed.first(count))]), tokenizer, sample=24
        )
        self.need(2 * len(affixes), fitted.items, "words")
        asked = zip(affixes[: self.turns], targets, strict=False)
        return self.generated(index, fitted, (Turn(ask_word(affix), word) for affix, word in asked))

    def parse_turn(self, raw: Mapping[str, Any]) -> Turn:
        """A question, and the word that it asks for."""
        turn = super().parse_turn(raw)
        for prefix, suffix in _asked([turn]):
            if not (str(turn.answer).startswith(prefix) and str(turn.answer).endswith(suffix)):
                raise FieldError("answer", f"does not start with {prefix} and end with {suffix}")
        return turn

    def droppable(self, session: Session) -> Sequence[Group]:
        """Words that no question is about, then near misses, each in random order."""
        answers = {turn.answer for turn in session.turns}
        asked = list(_asked(session.turns))
        prefixes, suffixes = tuple(prefix for prefix, _ in asked), tuple(suffix for _, suffix in asked)
        near: list[Group] = []
        others: list[Group] = []
        for item in re.finditer("'([^']*)', ", session.context):
            word = item[1]
            if word not in answers:
                (near if word.startswith(prefixes) or word.endswith(suffixes) else others).append((item.span(),))
        source = random.Random(f"{self.name}/{session.id}/dropping")
        source.shuffle(others)
        source.shuffle(near)
        return others + near

    def _affixes(self, index: int) -> list[Affixes]:
        """A prefix and a suffix per turn, all different; at least three pairs, as near misses exchange them."""
        letters = _Letters(self.random(index, "affixes"))
        count = max(self.turns, ROUNDS + 1)
        prefixes, suffixes = (_different(letters, count) for _ in range(2))
        return list(zip(prefixes, suffixes, strict=True))


class _Letters:
    """An endless random text of letters and digits, drawn in blocks."""

    BLOCK = 1 << 14

    def __init__(self, source: random.Random):
        self._source = source
        self._block = ""
        self._start = 0

    def take(self, count: int) -> str:
        """The next `count` characters (at most a block)."""
        if self._start + count > len(self._block):
            self._block = self._source.randbytes(self.BLOCK).translate(_LETTERS, _UNFAIR).decode()
            self._start = 0
        self._start += count
        return self._block[self._start - count : self._start]


def _different(letters: _Letters, count: int) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < count:
        found[letters.take(AFFIX)] = None
    return list(found)


def _word(affix: Affixes, letters: _Letters, source: random.Random) -> str:
    prefix, suffix = affix
    return prefix + letters.take(source.choice(LENGTHS) - 2 * AFFIX) + suffix


def _near_misses(affixes: list[Affixes], letters: _Letters, source: random.Random) -> Iterator[str]:
    for shift in range(1, ROUNDS + 1):
        for place, (prefix, _) in enumerate(affixes):
            yield _word((prefix, affixes[(place + shift) % len(affixes)][1]), letters, source)


def _others(affixes: list[Affixes], letters: _Letters, source: random.Random) -> Iterator[str]:
    """Words without any of the prefixes and suffixes: this and the near misses' making prove answers unique."""
    prefixes, suffixes = ({affix[side] for affix in affixes} for side in range(2))
    while True:
        word = letters.take(source.choice(LENGTHS))
        if word[:AFFIX] not in prefixes and word[-AFFIX:] not in suffixes:
            yield word


def render_words(words: list[str]) -> str:
    """The context that lists the words."""
    return f"Dictionary: {words}"


def ask_word(affix: Affixes) -> str:
    """The question for the word with a prefix and a suffix."""
    return "Prefix: {}; Suffix: {}. The word with both prefix and suffix from the dict is?".format(*affix)


def _asked(turns: Sequence[Turn]) -> Iterator[Affixes]:
    for turn in turns:
        if match := re.search(r"Prefix: (\S+); Suffix: (\S+)\.", turn.question):
            yield match[1], match[2]
