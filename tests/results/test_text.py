import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scbench.results.text import LONGEST, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, 漢字, é\n\tnext", "plain, 漢字, é\n\tnext"),
        ("a\x00b\x1b[31m", "a\\x00b\\x1b[31m"),
        ("a\u202eb", "a\\u202eb"),
        ("\ud800", "\\ud800"),
        ("a\u2028b\u2029", "a\\u2028b\\u2029"),
    ],
)
def test_what_cannot_be_seen_is_escaped(text, shown):
    assert visible(text) == shown


def test_a_long_text_is_cut_and_says_so():
    assert visible("x" * (LONGEST + 5)) == "x" * LONGEST + " … (5 more characters)"
    assert visible("x" * LONGEST) == "x" * LONGEST


@given(st.text())
def test_nothing_invisible_is_left_and_it_can_be_written(text):
    shown = visible(text)
    shown.encode("utf-8")
    assert all(c in "\n\t" or unicodedata.category(c) not in ("Zl", "Zp") for c in shown)
    assert all(c in "\n\t" or unicodedata.category(c)[0] != "C" for c in shown)
