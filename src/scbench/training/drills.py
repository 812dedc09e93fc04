"""Exercises that come before the benchmark's tasks: what these are made of, in short texts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from string import ascii_letters, digits
from typing import ClassVar

from scbench.tasks.base import Task
from scbench.tasks.fit import Encoder
from scbench.tasks.mix_sum_niah import ask_key, hidden_keys
from scbench.tasks.retr_kv import RetrKV, key_question, render_pairs
from scbench.tasks.retr_multihop import NOISE, RetrMultiHop
from scbench.tasks.retr_prefix_suffix import AFFIX, RetrPrefixSuffix, ask_word, render_words
from scbench.tasks.session import Session, Turn

HEXADECIMAL = digits + "abcdef"
LETTERS = digits + ascii_letters
CUE = 4  # characters at least of what is to be copied on; always an even number, as tokens are pairs


@dataclass(frozen=True)
class Copying(Task):
    """Lines of random letters, of random lengths: a question begins one of them, the answer ends it.

    Of fixed length, they teach a model to look back so many tokens instead of looking for what was there before.
    """

    longest: int = 32  # pairs of characters of a line
    alphabet: str = HEXADECIMAL

    name: ClassVar[str] = "copying"
    title: ClassVar[str] = "Copying"
    group: ClassVar[str] = "Drill"
    metric: ClassVar[str] = "Accuracy"
    published: ClassVar[str] = ""

    def generate(self, index: int, tokenizer: Encoder) -> Session:
        """A line to be copied for every turn, which may be one that was copied before."""
        source = self.random(index, "lines")
        lengths = [2 * source.randint(CUE, self.longest) for _ in range(self.size or 1)]
        lines = [_letters(self.alphabet, length, source) for length in lengths]
        asked = source.choices(lines, k=self.turns)
        cues = [2 * source.randint(CUE // 2, min(AFFIX, len(line) - 2) // 2) for line in asked]
        fitted = self.fitted(lambda count: "\n".join(lines[:count]), tokenizer, sample=1)
        return self.generated(
            index, fitted, (Turn(line[:cue], line[cue:]) for line, cue in zip(asked, cues, strict=True))
        )


@dataclass(frozen=True)
class ShortPairs(RetrKV):
    """Retr.KV with keys and values of `length` pairs of hexadecimal digits.

    Of a UUID's 16 tokens one has to be looked up, and the others follow from the one before: in short values what is
    looked up is most of what there is to learn. `words` are those that a question has between its key and the answer;
    None: all of Retr.KV's. To look from an answer back to the key is learned over a few words first.
    """

    length: int = 2
    words: int | None = None

    def generate(self, index: int, tokenizer: Encoder) -> Session:
        """Keys of different pairs, one per turn."""
        source = self.random(index, "short")
        drawn = [[_letters(HEXADECIMAL, 2 * self.length, source) for _ in range(2)] for _ in range(self.size or 1)]
        pairs = list(dict(drawn).items())
        fitted = self.fitted(lambda count: render_pairs(pairs[:count]), tokenizer, sample=1)
        asked = source.sample(pairs, min(len(pairs), self.turns))
        return self.generated(index, fitted, (Turn(self._question(key), value) for key, value in asked))

    def _question(self, key: str) -> str:
        asked, newline, rest = key_question(key).partition("\n")
        return asked + newline + " ".join(rest.split(" ")[: self.words])


@dataclass(frozen=True)
class AffixGrid(RetrPrefixSuffix):
    """Short words for Retr.Prefix-Suffix: every one of a few prefixes with every one of as many suffixes.

    `size` is the number of prefixes, `middle` the most letters between prefix and suffix.
    """

    middle: int = 8

    def generate(self, index: int, tokenizer: Encoder) -> Session:
        """All words of the grid in random order, and a few of them to be found."""
        source = self.random(index, "grid")
        prefixes, suffixes = ([_letters(LETTERS, AFFIX, source) for _ in range(self.size or 1)] for _ in range(2))
        words = {
            (prefix, suffix): prefix + _letters(LETTERS, source.randint(4, self.middle), source) + suffix
            for prefix, suffix in product(prefixes, suffixes)
        }
        shown = source.sample(list(words.values()), len(words))
        fitted = self.fitted(lambda _: render_words(shown), tokenizer, sample=1)
        asked = source.sample(sorted(words), self.turns)
        return self.generated(index, fitted, (Turn(ask_word(affixes), words[affixes]) for affixes in asked))


@dataclass(frozen=True)
class Chains(RetrMultiHop):
    """Retr.MultiHop with chains of `variables`: one asks for what has a value, two for one hop more."""

    variables: int = 1

    def _variables(self) -> int:
        return self.variables


@dataclass(frozen=True)
class PassKeys(Task):
    """The pass keys of Mix.Sum+NIAH, between passages of noise instead of documents; `size` counts both."""

    name: ClassVar[str] = "pass_keys"
    title: ClassVar[str] = "Pass keys"
    group: ClassVar[str] = "Drill"
    metric: ClassVar[str] = "Accuracy"
    published: ClassVar[str] = ""

    def generate(self, index: int, tokenizer: Encoder) -> Session:
        """As many needles as there are turns, each asked for once."""
        needles = hidden_keys(self.random(index, "needles"), self.turns)
        passages = [*map(str, needles), *[NOISE] * ((self.size or 0) - self.turns)]
        self.random(index, "order").shuffle(passages)
        fitted = self.fitted(lambda count: "\n\n".join(passages[:count]), tokenizer, sample=1)
        return self.generated(index, fitted, map(ask_key, needles))


def _letters(alphabet: Sequence[str], count: int, source: random.Random) -> str:
    return "".join(source.choices(alphabet, k=count))
