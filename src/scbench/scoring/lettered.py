"""Which option letter a text chooses."""

from __future__ import annotations

import re
import unicodedata

# An `A` or `I` before a word in lower case is a word of the sentence, no choice. Possessive runs keep the time linear.
_CUE = re.compile(
    r"""(?i:answer|option|choice)\b [\s:=*"'“‘]*+ (?: (?i:is|was)\b [\s:=*"'“‘]*+ )?
        [(\[{]?+ \s*+ ( [B-HJ-Zb-hj-z] | [AIai](?!\s+[a-z]) ) (?![\w’'])""",
    re.VERBOSE,
)
_LEADING = re.compile(r"[\s*\"'“‘(\[{]*([A-Z])[*\"'”’]*\s*(?:[)\]}.:,;]|\n|$)")
_BRACKETED = re.compile(r"[(\[{]\s*([A-Z])\s*[)\]}]")
_STANDING = re.compile(r"(?<![\w’'])(?:[B-HJ-Z]|[AI](?!\s+[a-z]))(?![\w’'])")


def stated(text: str) -> str | None:
    """The letter, in upper case, that the text gives as its choice in so many words; None if it does not.

    `The answer is (B)`, `(b)` after `answer:`, a leading `B.` or `B)`, a lone `b`, else the first `(B)`.
    """
    plain = unicodedata.normalize("NFKC", text).strip()
    if len(plain) == 1 and plain.isascii() and plain.isalpha():
        return plain.upper()
    found = _CUE.search(plain) or _LEADING.match(plain) or _BRACKETED.search(plain)
    return found.group(1).upper() if found else None


def standing(text: str) -> str | None:
    """The first capital letter that stands alone and is no word of English; None if there is none."""
    found = _STANDING.search(unicodedata.normalize("NFKC", text))
    return found.group() if found else None
