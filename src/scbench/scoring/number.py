"""Math.Find: the first number of the prediction."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Any

from scbench.tasks.session import Answer

_NUMBER = re.compile(
    r"""(?<![0-9]) [-+\N{MINUS SIGN}]?
        (?: (?: [0-9]{1,3} (?:,[0-9]{3})++ (?![0-9]) | [0-9]++ ) (?:\.[0-9]++)?
          | (?<!\.) \.[0-9]++ )
        (?: [eE] [-+]? [0-9]{1,3} (?![0-9]) )?
        (?! (?i:st|nd|rd|th)\b )""",
    re.VERBOSE,
)
_REF_NUMBER = re.compile(r"\d+\.\d+|\d+")


def strict(prediction: str, gold: Answer) -> float:
    """1 if the first number, read as a whole, equals the gold number exactly.

    Where it differs from `ref`:

    - signs count: `-226` is not 226, and answers -226; ref takes it for 226
    - so do thousands separators and exponents: `1,234` is 1234 and `394e3` is 394000; ref reads 1 and 394
    - nothing is cut off: `12.9` is not 12, and 2**53+1 is not 2**53; ref takes them for equal
    - `.5` is a half; ref reads 5
    - ordinals are no answers: `The 2nd largest is 981` says 981; ref reads 2
    - digits are ASCII; ref also reads `４６５` and other scripts
    - no length is too long; ref raises `OverflowError` at 400 digits
    - a gold text is the number that it spells, if it does; ref raises `TypeError`

    `440/2` says 440: nothing is calculated.
    """
    found, wanted = _NUMBER.search(prediction), _decimal(gold)
    if found is None or wanted is None:
        return 0.0
    written = found.group().replace(",", "").replace("\N{MINUS SIGN}", "-")
    return float(Decimal(written) == wanted)


def ref(prediction: str, label: Any) -> float:
    """1 if the first unsigned number is the gold one, cut to an integer where that is an integer.

    Raises `TypeError` for a gold text, `OverflowError` for a number beyond a float's range.
    """
    wanted = _first(label)
    if not isinstance(wanted, int | float):
        raise TypeError(f"expected a number, got {type(wanted)}")
    found = _REF_NUMBER.search(prediction)
    if found is None:
        return 0.0
    number = float(found.group())
    return float((int(number) if isinstance(wanted, int) else number) == wanted)


def _decimal(gold: Answer) -> Decimal | None:
    """The gold number, exactly; None for an answer that is no finite number."""
    try:
        number = Decimal(str(_first(gold)).strip())
    except (InvalidOperation, IndexError):
        return None
    return number if number.is_finite() else None


def _first(gold: Answer) -> str | int | float:
    """The number, or the first of a list of numbers."""
    return gold[0] if isinstance(gold, tuple | list) else gold
