"""En.QA: the answer must be said."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Any

from scbench.tasks.session import Answer

_ARTICLES = frozenset({"a", "an", "the"})
_POSSESSIVE = re.compile(r"['’]s\b")
_INSIDE = re.compile(r"(?<=\d),(?=\d)|['’]")
_WORD = re.compile(r"[^\W_]+")


def strict(prediction: str, gold: Answer) -> float:
    """1 if the prediction holds the words of the answer, whole and in a row.

    Case, accents, articles, punctuation, possessive 's and runs of blanks do not count. Where it differs from `ref`:

    - `Red Keep` and `a butler` answer `the Red Keep` and `the butler`; ref 0
    - `Mrs  O'Malley` answers `Mrs. O'Malley`, `sao paulo` answers `São Paulo`, `5000` answers `5,000`; ref 0
    - `parish` does not answer `Paris`, nor `17:40` `7:40`; ref 1
    - an empty gold answer is never said: 0; ref 1

    An answer without any word (`?`, `the`) must be the whole prediction. Several gold answers are alternatives.
    """
    return max((_says(prediction, str(one)) for one in alternatives(gold)), default=0.0)


def ref(prediction: str, label: Any) -> float:
    """1 if one of the texts of `label`, upper-cased, is a substring.

    A text as label gives its single characters, which is how ICL.ManyShot is scored. Raises `TypeError` for a label
    that has no items, `AttributeError` for one whose items are no texts.
    """
    said = prediction.strip().upper()
    return float(any(text.upper() in said for text in label))


def alternatives(gold: Answer) -> tuple[Any, ...]:
    """The gold answers, any of which will do."""
    return tuple(gold) if isinstance(gold, tuple | list) else (gold,)


def words(text: str) -> list[str]:
    """The words that count, in a form in which equal words are equal."""
    plain = text.casefold()
    if not plain.isascii():
        decomposed = unicodedata.normalize("NFKD", plain)
        plain = "".join(sign for sign in decomposed if not unicodedata.combining(sign))
    plain = _INSIDE.sub("", _POSSESSIVE.sub("", plain))
    return [word for word in _WORD.findall(plain) if word not in _ARTICLES]


@lru_cache(maxsize=1 << 14)  # every method is asked for the same answers
def _wanted(gold: str) -> tuple[str, ...]:
    return tuple(words(gold))


def _says(prediction: str, gold: str) -> float:
    wanted = _wanted(gold)
    if not wanted:
        text = gold.strip().casefold()
        return float(bool(text) and prediction.strip().casefold() == text)
    return float(f" {' '.join(wanted)} " in f" {' '.join(words(prediction))} ")
