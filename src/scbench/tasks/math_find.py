"""Math.Find: statistics of a long array of three-digit numbers."""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from scbench.errors import ScbenchError
from scbench.tasks.base import FieldError, Group, Task, kind_of, rotation, text_field
from scbench.tasks.fit import Encoder
from scbench.tasks.session import Session, Turn
from scbench.tasks.shrink import separated

STATISTICS = ("largest", "smallest", "median", "second largest", "second smallest", "most frequent")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
LEAST = 24  # numbers: fewer leave no room for six different answers


@dataclass(frozen=True)
class MathFind(Task):
    """Six statistics, each with one answer, none to be guessed from the length or from another answer."""

    turns: int = 6
    max_new_tokens: int = 5

    name: ClassVar[str] = "math_find"
    title: ClassVar[str] = "Math.Find"
    group: ClassVar[str] = "Global information"
    metric: ClassVar[str] = "Accuracy"
    published: ClassVar[str] = "scbench_mf"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.turns > len(STATISTICS):
            raise ScbenchError(f"task.turns={self.turns}: {self.title} has {len(STATISTICS)} statistics to ask for")

    def generate(self, index: int, tokenizer: Encoder) -> Session:
        """The statistics in turn, starting with another one in each session."""
        answers = self._answers(index)
        fitted = self.fitted(lambda count: str(self._numbers(index, answers, count)), tokenizer, sample=200)
        self.need(LEAST, fitted.items, "numbers")
        asked = rotation(STATISTICS, index, self.turns)
        return self.generated(index, fitted, (Turn(_question(name), answers[name]) for name in asked))

    def parse_context(self, value: Any) -> tuple[str, int | None]:
        """A list of numbers, rendered as Python does, or that text."""
        if not isinstance(value, list):
            return text_field("context", value), None
        if not value:
            raise FieldError("context", "is empty")
        for place, number in enumerate(value):
            _number(f"context[{place}]", number)
        return str(value), len(value)

    def parse_turn(self, raw: Mapping[str, Any]) -> Turn:
        """A question that says 'The … is', and a number or a list of one number."""
        question = text_field("input", raw.get("input"))
        if not re.search("The .+ is", question):
            raise FieldError("input", "does not say what is asked for ('The … is')")
        answer = raw.get("answer")
        if isinstance(answer, list) and len(answer) == 1:
            answer = answer[0]
        return Turn(question, _number("answer", answer))

    def droppable(self, session: Session) -> Sequence[Group]:
        """Numbers in twos, one below and one above the median, without which all six statistics are what they were.

        The middle of the sorted array stays, and every copy of its two ends and of its most frequent numbers. The
        order is random, so that the others keep their depths. Empty where a turn asks for something else.
        """
        if not all(_asked(turn.question) for turn in session.turns):
            return ()
        found = list(NUMBER.finditer(session.context))
        numbers = [float(match[0]) for match in found]
        if len(numbers) < LEAST:
            return ()
        ranked = sorted(range(len(numbers)), key=numbers.__getitem__)
        low, high = (len(ranked) - 1) // 2, len(ranked) // 2
        fixed = _fixed(numbers)
        below = [place for place in ranked[:low] if numbers[place] not in fixed]
        above = [place for place in ranked[high + 1 :] if numbers[place] not in fixed]
        source = random.Random(f"{self.name}/drop/{session.documents}")
        source.shuffle(below)
        source.shuffle(above)
        twos = list(zip(below, above, strict=False))
        kept = set(ranked).difference(*twos)
        spans = separated([match.span() for match in found], kept)
        return [(spans[one], spans[other]) for one, other in twos]

    def answer_kept(self, turn: Turn, whole: str, kept: str) -> bool:
        """Whether the statistic of what is left is still the one of the whole array."""
        asked = _asked(turn.question)
        if asked is None:
            return super().answer_kept(turn, whole, kept)
        before, after = ([float(number) for number in NUMBER.findall(text)] for text in (whole, kept))
        return min(len(before), len(after)) > 1 and _statistics(before)[asked] == _statistics(after)[asked]

    def _answers(self, index: int) -> dict[str, int]:
        source = self.random(index, "answers")
        smallest, largest = source.randint(100, 320), source.randint(680, 999)
        second_smallest = smallest + source.randint(1, 40)
        second_largest = largest - source.randint(1, 40)
        median = source.randint(second_smallest + 60, second_largest - 60)
        others = [n for n in range(second_smallest + 1, second_largest) if n != median]
        values = (largest, smallest, median, second_largest, second_smallest, source.choice(others))
        return dict(zip(STATISTICS, values, strict=True))

    def _numbers(self, index: int, answers: Mapping[str, int], count: int) -> list[int]:
        """`count` numbers in random order that have these statistics.

        The median is there twice with as many numbers below as above it (one more or less), so that it is a
        number of the array whether `count` is odd or even. Largest and smallest are there once. The most
        frequent number leads the next by an eighth, at least by two.
        """
        median, frequent = answers["median"], answers["most frequent"]
        low_ends = [answers["smallest"], answers["second smallest"]]
        high_ends = [answers["largest"], answers["second largest"]]
        lows = [n for n in range(low_ends[1], median) if n != frequent]
        highs = [n for n in range(median + 1, high_ends[1] + 1) if n != frequent]
        below = max(0, (count - 2) // 2 - 2)
        above = max(0, count - below - 6)
        low = self.random(index, "below").choices(lows, k=below)
        high = self.random(index, "above").choices(highs, k=above)
        runner_up = max(Counter(low + high).values(), default=0)
        copies = 1 + runner_up + max(2, runner_up // 8)
        side = low if frequent < median else high
        side[-copies:] = [frequent] * copies
        numbers = low_ends + high_ends + [median, median] + low + high
        self.random(index, "order").shuffle(numbers)
        return numbers


def _asked(question: str) -> str | None:
    """Which of `STATISTICS` a question asks for, None for another one."""
    match = re.search(r"The (.+?)(?: (?:number|element|value|of)\b.*)? is", question)
    name = match[1].lower() if match else None
    return name if name in STATISTICS else None


def _fixed(numbers: Sequence[float]) -> set[float]:
    """The values of which every copy must stay: two at either end, and the most frequent."""
    counts = Counter(numbers)
    values = sorted(counts)
    most = max(counts.values())
    return {*values[:2], *values[-2:], *(value for value, count in counts.items() if count == most)}


def _statistics(numbers: Sequence[float]) -> dict[str, float]:
    ordered = sorted(numbers)
    middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    frequent = Counter(numbers).most_common(1)[0][0]
    values = (ordered[-1], ordered[0], middle, ordered[-2], ordered[1], frequent)
    return dict(zip(STATISTICS, values, strict=True))


def _question(statistic: str) -> str:
    return f"You should answer with only one number, no other words. The {statistic} number of the list is: "


def _number(field: str, value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FieldError(field, f"expected a number, found {kind_of(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise FieldError(field, "is not a finite number")
    return value
