"""En.QA: the answer must be said."""

from __future__ import annotations

import re
import unicodedata

from scbench.tasks.session import Answer

_ARTICLES = frozenset({"a", "an", "the"})


def strict(prediction: str, gold: Answer) -> float:
    """1 if the prediction holds the words of the answer, whole and in a row.

    Case, accents, articles, punctuation, possessive 's and runs of blanks do not count. Where it differs from `ref`:

    - `Red Keep` and `a butler` answer `the Red Keep` and `the butler`; ref 0
    - `Mrs  O'Malley` answers `Mrs. O'Malley`, `sao paulo` answers `São Paulo`, `5000` answers `5,000`; ref 0
    - `parish` does not answer `Paris`, nor `17:40` `7:40`; ref 1
    - an empty gold answer is never said: 0; ref 1

    An answer without any word (`?`, `the`) must be the whole prediction.
    """
    wanted, said = _words(str(gold)), _words(prediction)
    if not wanted:
        text = str(gold).strip().casefold()
        return float(bool(text) and prediction.strip().casefold() == text)
    return float(f" {' '.join(wanted)} " in f" {' '.join(said)} ")


def ref(prediction: str, gold: Answer) -> float:
    """1 if the gold text, upper-cased, is a substring; a gold answer that is no text raises `AttributeError`."""
    return float(gold.upper() in prediction.strip().upper())  # type: ignore[union-attr]


def _words(text: str) -> list[str]:
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(sign for sign in decomposed if not unicodedata.combining(sign))
    plain = re.sub(r"['’]s\b", "", plain)
    plain = re.sub(r"(?<=\d),(?=\d)|['’]", "", plain)
    return [word for word in re.findall(r"[^\W_]+", plain) if word not in _ARTICLES]
