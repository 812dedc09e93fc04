"""En.Sum: ROUGE-Lsum, by the `rouge-score` package."""

from __future__ import annotations

import re
from typing import Any

from scbench.tasks.session import Answer

MOST_COMPARISONS = 4_000_000
"""Pairs of words that are compared at most.

ROUGE-L compares every word of a prediction with every word of the gold summary. A prediction that is too long for that
(over 10,000 words beside a summary of 400) is cut where the limit is reached, for both scores; the 800 tokens that a
summary may have never come near it.
"""

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_WORD = re.compile("[a-z0-9]+")


def strict(prediction: str, gold: Answer) -> float:
    """F-measure of ROUGE-Lsum, with one sentence per line on both sides.

    Where it differs from `ref`: sentences end at `.`, `!` or `?` before a blank too, so that `It works. We tried.`
    gives 1 for `We tried. It works.`; ref 0.5, since it splits at newlines only and takes each for one sentence.
    """
    return _rouge(_lines(prediction), _lines(str(gold)))


def ref(prediction: str, label: Any) -> float:
    """F-measure of ROUGE-Lsum without stemming, sentences split at newlines; `AttributeError` for a label that is no
    text.
    """
    return _rouge(prediction, label)


def _lines(text: str) -> str:
    return _SENTENCE_END.sub("\n", text)


def _rouge(prediction: str, gold: str) -> float:
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeLsum"], use_stemmer=False)
    measure = scorer.score(*map(_with_words, (gold, _bounded(prediction, gold))))["rougeLsum"].fmeasure
    return min(1.0, float(measure))


def _with_words(text: str) -> str:
    """The lines that hold a word in ROUGE's sense; the others add nothing but time."""
    return "\n".join(line for line in text.lower().split("\n") if _WORD.search(line))


def _bounded(prediction: str, gold: str) -> str:
    """As much of the prediction as may be compared."""
    text = prediction.lower()
    most = max(1, MOST_COMPARISONS // max(1, len(_WORD.findall(gold.lower()))))
    for number, word in enumerate(_WORD.finditer(text)):
        if number == most:
            return text[: word.start()]
    return prediction
