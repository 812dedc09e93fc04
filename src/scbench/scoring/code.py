"""Code.RepoQA: the function that was asked for, and no other one, must come back."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from scbench.scoring.fences import blocks, ref_blocks
from scbench.scoring.functions import function, ref_function
from scbench.scoring.item import Answered

THRESHOLD = 0.8
THRESHOLDS = tuple(step / 10 for step in range(11))


@dataclass(frozen=True)
class Needle:
    """A function that could have been meant: its name and its source."""

    name: str | None
    source: str


@dataclass(frozen=True)
class Match:
    """What the original makes of a prediction: the code it compares, its similarity to each needle, the best one.

    `best` is None, and its similarity 0, where nothing is similar at all.
    """

    code: str
    similarities: tuple[float, ...]
    best: str | None
    similarity: float

    def hits(self, name: str | None, threshold: float = THRESHOLD) -> bool:
        """Whether the best needle is the one that was asked for, and similar enough."""
        return self.best is not None and self.best == name and self.similarity >= threshold


def strict_all(items: Sequence[Answered]) -> list[float]:
    """1 where the code is similar enough (0.8) to the function that was asked for, and no other of the session more.

    The code is the first function of the first block that has one, else the first block, else the whole text. Where
    it differs from `ref`:

    - an exact copy of `def g(): pass` has similarity 1; ref 0.58, since BLEU-4 is smoothed
    - blocks that are indented, not closed, or opened by ```` ```c++ ```` are blocks; ref compares the fence too
    - methods, arrow functions and C++ functions of any declarator are functions; ref may take a later one
    - a function found in an answer that has no fence is compared alone; ref compares all of the text around it
    - the competitors are the functions of the item's own session; in ref, of all sessions of that repository that
      were run, so that a score depends on what else was run
    - two functions with the same source answer each other; ref wants the one that comes first
    """
    needles = _pools(items, by_session=True)
    return [_strict(item, needles[item.session]) for item in items]


def ref_all(items: Sequence[Answered]) -> list[float | Exception]:
    """1 where the best needle of the repository, over all items, is the one asked for, with BLEU-4 of 0.8 or more.

    An exception stands where the original raises one: for an unknown language, or text that has no UTF-8.
    """
    needles = _pools(items, by_session=False)
    return [_ref(item, needles[str(item.repo)]) for item in items]


def match(prediction: str, language: str, needles: Sequence[Needle]) -> Match:
    """The original's evaluation of one prediction; raises what it raises."""
    code = ref_code(prediction, language)
    similarities = tuple(bleu(code, needle.source) for needle in needles)
    best, highest = None, 0.0
    for needle, similarity in zip(needles, similarities, strict=True):
        if similarity > highest:
            best, highest = needle.name, similarity
    return Match(code, similarities, best, highest)


def ref_code(prediction: str, language: str) -> str:
    """The code that the original compares: the first function of the fenced blocks, else the first block, else all."""
    found = ref_blocks(prediction)
    functions = (ref_function(block, language) for block in found)
    first = next((text for text in functions if text is not None), None)
    if first is not None:
        return first
    return found[0] if found else prediction.strip()


def bleu(candidate: str, reference: str) -> float:
    """BLEU-4 over blank-separated tokens, with smoothing method 4 of NLTK."""
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    smoothing = SmoothingFunction().method4
    return float(sentence_bleu([_tokens(reference)], _tokens(candidate), smoothing_function=smoothing))


def _pools(items: Sequence[Answered], by_session: bool) -> dict[str, list[Needle]]:
    pools: dict[str, list[Needle]] = defaultdict(list)
    for item in items:
        pools[item.session if by_session else str(item.repo)].append(Needle(item.function, str(item.gold)))
    return pools


def _strict(item: Answered, needles: Sequence[Needle]) -> float:
    said = _code(item.prediction, item.language)
    wanted = _similarity(said, str(item.gold), item.language)
    if not said.strip() or wanted < THRESHOLD:
        return 0.0
    return float(all(_similarity(said, needle.source, item.language) <= wanted for needle in needles))


def _ref(item: Answered, needles: Sequence[Needle]) -> float | Exception:
    try:
        return float(match(item.prediction, str(item.language), needles).hits(item.function))
    except (KeyError, UnicodeEncodeError) as error:
        return error


def _code(text: str, language: str | None) -> str:
    found = blocks(text) or [text]
    functions = (function(block, language) for block in found)
    return next((code for code in functions if code is not None), found[0])


def _similarity(code: str, source: str, language: str | None) -> float:
    """BLEU-4 of the code and the function in `source`, but 1 for a copy of however few tokens."""
    gold = function(source, language) or source
    return 1.0 if _tokens(code) == _tokens(gold) else min(1.0, bleu(code, gold))


def _tokens(text: str) -> list[str]:
    return re.split(r"\s+", text.strip())
