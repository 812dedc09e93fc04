"""En.MultiChoice: an option's letter or its text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from scbench.scoring import lettered
from scbench.scoring.answer import words
from scbench.tasks.session import Answer

LETTERS = "ABCD"
_PREFIXES = ("answer is:", "answer:", "answer is", "option is")


def strict(prediction: str, gold: Answer, options: Sequence[str] = ()) -> float:
    """1 if the option that the prediction chooses is the gold one.

    The choice is the option whose text is the whole prediction, else the letter given in so many words
    (`The answer is (B)`, a leading `B.`), else the option named first (the longer one where two begin together), else
    the first capital that stands alone. Texts are compared as in En.QA. Where it differs from `ref`:

    - `Arya` answers Arya, option B; ref 0, which reads the letter A
    - `Because he said so` and `Apple` choose nothing; ref B and A
    - `my answer is (A)` and `a` choose A; ref nothing
    - `the answer is Mr. Smith` answers `Mr. Smith`; ref 0, which drops the dot on one side only
    - `the answer is the old mill` does not choose `the mill` where `the old mill` is an option too
    - an answer that is not among the options gives 0; ref raises `ValueError`
    """
    gold_index = _index(gold, options)
    return float(gold_index is not None and _chosen(prediction, options) == gold_index)


def label_of(gold: Answer, options: Sequence[str]) -> list[Any]:
    """What the original's scorer receives: the gold text and its letter.

    Raises `ValueError` for a gold text that is not among the options, `IndexError` for a fifth option.
    """
    return [gold, LETTERS[list(options).index(gold)]]  # type: ignore[arg-type]


def ref(prediction: str, label: Any) -> float:
    """1 if the original's reading of the prediction is in `label`, the gold text and its letter.

    A first letter A to D decides; then equality; then what follows one of four prefixes, one character later; then
    the first word that is a substring of `ABCD`.
    """
    said = prediction.strip()
    if not said:
        return 0.0
    if said[0] in LETTERS:
        return float(said[0] in label)
    if said in label:
        return 1.0
    said = re.sub(" {2,}", " ", re.sub("[\n\"'.,?!{}]", " ", said))
    for prefix in _PREFIXES:
        _, found, after = said.partition(prefix)
        if found:
            return float(bool(after) and any(after[1:].startswith(text) for text in label))
    word = next((word for word in said.split() if word in LETTERS), None)
    return float(word is not None and word in label)


def _index(gold: Answer, options: Sequence[str]) -> int | None:
    return next((index for index, option in enumerate(options) if option == gold), None)


def _chosen(prediction: str, options: Sequence[str]) -> int | None:
    """The index of the option that the prediction chooses; None if it chooses none."""
    said = words(prediction)
    texts = [words(option) for option in options]
    if said in texts and said:
        return texts.index(said)
    letter = lettered.stated(prediction)
    if letter in _letters(options):
        return _letters(options).index(letter)
    line = f" {' '.join(said)} "
    named = [(line.find(f" {' '.join(text)} "), -len(text), index) for index, text in enumerate(texts) if text]
    mentioned = sorted(place for place in named if place[0] >= 0)
    if mentioned:
        return mentioned[0][2]
    letter = lettered.standing(prediction)
    return _letters(options).index(letter) if letter in _letters(options) else None


def _letters(options: Sequence[str]) -> list[str]:
    return [chr(ord("A") + index) for index in range(min(len(options), 26))]
