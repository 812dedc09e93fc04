from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from scbench.tasks.fit import Supply, fit


class Letters:
    """A token per letter; counts what it was asked to read."""

    def __init__(self) -> None:
        self.read: list[int] = []

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        self.read.append(len(text))
        return list(range(len(text)))


@settings(max_examples=1000)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=60), st.integers(1, 800), st.integers(0, 20))
def test_the_text_is_never_too_long_and_at_most_an_item_or_a_hundredth_too_short(
    sizes: list[int], length: int, overhead: int
) -> None:
    def text(count: int) -> str:
        return "x" * overhead + "".join("y" * sizes[place % len(sizes)] for place in range(count))

    fitted = fit(text, length, Letters(), sample=8)
    if fitted.items == 0:
        assert len(text(1)) > length
        return
    assert fitted.text == text(fitted.items)
    assert fitted.tokens == len(fitted.text) <= length
    item = max(len(text(fitted.items + 1)) - fitted.tokens, fitted.tokens / fitted.items)
    assert length - fitted.tokens <= max(length / 100, item)


def test_a_long_text_is_read_twice_after_a_short_sample() -> None:
    tokenizer = Letters()
    fitted = fit(lambda count: "".join("y" * (90 + place % 11) for place in range(count)), 200_000, tokenizer, sample=8)
    assert 198_000 <= fitted.tokens <= 200_000
    sample, *passes = tokenizer.read
    assert sample < 1_000
    assert len(passes) <= 2


def test_a_supply_draws_each_item_once() -> None:
    drawn = []
    supply = Supply(drawn.append(n) or n for n in range(100))  # type: ignore[func-returns-value]
    assert supply.first(3) == [0, 1, 2]
    assert supply.first(2) == [0, 1]
    assert supply.first(5) == [0, 1, 2, 3, 4]
    assert drawn == [0, 1, 2, 3, 4]
