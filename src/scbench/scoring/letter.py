"""ICL.ManyShot: the letter of the right option."""

from __future__ import annotations

import re
from typing import Any

from scbench.scoring import answer, lettered
from scbench.tasks.session import Answer

_LETTER = re.compile(r"\W*([A-Za-z])\W*")


def strict(prediction: str, gold: Answer) -> float:
    """1 if the letter that the prediction chooses is the gold one.

    The choice is what follows `answer is` or `answer:`, else a leading `B.` or `(B)`, else the first `(B)`, else the
    first capital that stands alone. A gold answer that is no letter (`Yes`) must be said, as in En.QA. Where it
    differs from `ref`:

    - `I think it is Claire` does not answer `A`, nor `date` `D`; ref 1 for the letter anywhere
    - `(E) Dave` does not answer `D`; ref 1
    - `so` does not answer `Yes`; ref 1 for any character in common
    - `(A)` does not answer `(D)`; ref 1, since they share the parenthesis
    """
    letter = _LETTER.fullmatch(str(gold))
    if letter is None:
        return answer.strict(prediction, gold)
    said = lettered.stated(prediction) or lettered.standing(prediction)
    return float(said == letter.group(1).upper())


def ref(prediction: str, label: Any) -> float:
    """1 if any character of the label, upper-cased, occurs in the upper-cased prediction; raises as En.QA's does."""
    return answer.ref(prediction, label)
