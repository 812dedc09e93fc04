"""Zh.QA: F1 over characters."""

from __future__ import annotations

import string
import unicodedata
from collections import Counter
from functools import cache
from typing import Any

from scbench.scoring.answer import alternatives
from scbench.tasks.session import Answer

# The signs that the original takes for punctuation: data, not a choice; it has gaps that `strict` closes.
_REF_PUNCTUATION = frozenset(
    string.punctuation
    + "！？｡。＂＃＄％＆＇（）＊＋，－／：；＜＝＞＠［＼］＾＿｀｛｜｝～｟｠｢｣､、〃》「」『』【】〔〕〖〗〘〙"
    "〚〛〜〝〞〟〰〾〿–—‘’‛“”„‟…‧﹏."
)
_PASSED_OVER = frozenset("PSZC")  # Unicode's punctuation, symbols, separators and controls


def strict(prediction: str, gold: Answer) -> float:
    """F1 between the characters of the prediction and those of the answer, the best over several answers.

    Only letters, marks and digits count, in lower case and normal width. Where it differs from `ref`:

    - `诺拉` answers `诺拉` with 1; ref 2/3, since each single character of the answer is an answer of its own there
    - `诺` answers `诺拉` with 2/3; ref 1, which rewards short predictions
    - `ＤＮＡ` answers `DNA`, and `·`, `《`, `￥` and zero-width signs do not count; ref takes them for characters
    - a number as gold answer is its text; ref raises `TypeError`
    """
    return max((_f1(_characters(prediction), _characters(str(one))) for one in alternatives(gold)), default=0.0)


def ref(prediction: str, label: Any) -> float:
    """The best F1 over the items of `label`: the single characters of a text, or the texts of a list.

    Raises `TypeError` for a label without items, `AttributeError` for items that are no texts.
    """
    plain = cache(_ref_characters)  # every character of a label is compared with the same prediction
    return max((_f1(plain(prediction), plain(one)) for one in label), default=0.0)


def _characters(text: str) -> str:
    plain = unicodedata.normalize("NFKC", text).lower()
    return "".join(sign for sign in plain if unicodedata.category(sign)[0] not in _PASSED_OVER)


def _ref_characters(text: str) -> str:
    kept = "".join(sign for sign in text.lower() if sign not in _REF_PUNCTUATION)
    return "".join(kept.split())


def _f1(said: str, wanted: str) -> float:
    shared = (Counter(said) & Counter(wanted)).total()
    if shared == 0:
        return 0.0
    precision, recall = shared / len(said), shared / len(wanted)
    return 2 * precision * recall / (precision + recall)
