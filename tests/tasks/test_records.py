"""Gen.Records: its sessions, and how long answers are scored by position."""

from __future__ import annotations

import math
import random
import re
import time
import zlib
from collections import Counter
from dataclasses import fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import solvers
import yaml
from hypothesis import given
from hypothesis import strategies as st

from scbench.errors import ScbenchError
from scbench.scoring import records, score
from scbench.tasks.base import Task
from scbench.tasks.gen_records import GenRecords, record_lines
from scbench.tasks.session import Session
from scbench.tasks.sessions import make_sessions
from toy_tokenizers import byte_level

LINE = re.compile(r"([0-9a-z]{8}) \| ([A-Z]{6}) \| ([1-9]\d{5}) \| ([0-9a-f]{8}) \| 0\.(\d{4})")


class Words:
    """Words of up to four letters, digits by threes, and signs: about the lengths of a large vocabulary."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[str]:
        return re.findall(r" ?[A-Za-z]{1,4}|\d{1,3}|[^\w ]|\s", text)


class Quarters:
    """Four characters a token, at no cost."""

    def __init__(self) -> None:
        self.read: list[int] = []

    def encode(self, text: str, *, add_special_tokens: bool) -> range:
        self.read.append(len(text) // 4)
        return range(len(text) // 4)


def sessions(tokenizer: Any = None, **options: Any) -> list[Session]:
    return list(make_sessions(replace(GenRecords(), **options), tokenizer or Words()))


def lines_of(session: Session) -> list[str]:
    return session.context.partition("\n\n")[2].split("\n")


@pytest.mark.parametrize("length", [1024, 4096, 20_000])
@pytest.mark.parametrize("tokenizer", [Words(), Quarters(), byte_level((), eos="</s>")], ids=["words", "4", "bytes"])
def test_the_context_has_the_asked_length(length: int, tokenizer: Any) -> None:
    for session in sessions(tokenizer, length=length, limit=3):
        tokens = len(tokenizer.encode(session.context, add_special_tokens=False))
        assert session.tokens == tokens <= length
        assert length - tokens <= max(length / 100, 1.5 * tokens / (session.items or 1))
        assert session.items == len(lines_of(session))


@pytest.mark.parametrize("options", [{"length": 1024}, {"length": 30_000}, {"size": 40}, {"seed": 3, "turns": 2}])
def test_every_question_is_answered_by_the_text_alone(options: dict[str, Any]) -> None:
    for session in sessions(limit=6, **options):
        for turn in session.turns:
            answer = solvers.gen_records(session.context, turn.question)
            assert answer == turn.answer
            scores = score("gen_records", answer, turn.answer)
            assert (scores.strict, scores.ref) == (1.0, 1.0)
            assert scores.quarters == (1.0,) * 4 or answer.count("\n") < 3


def test_records_are_random_and_do_not_compress() -> None:
    (session,) = sessions(length=60_000, limit=1)
    found = [LINE.fullmatch(line) for line in lines_of(session)]
    values = [line.groups() for line in found if line]
    assert len(values) == len(found)
    assert len({key for key, *_ in values}) == len(values)
    text = "".join("".join(value) for value in values)
    bits = 8 * math.log2(36) + 6 * math.log2(26) + math.log2(900_000) + 32 + math.log2(10_000)
    assert 8 * len(zlib.compress(text.encode(), 9)) > bits * len(values)  # no less than what is random in it


def test_keys_are_different_even_where_chance_repeats_them() -> None:
    class Few(random.Random):
        def choices(self, population: Any, **options: Any) -> list[str]:
            return super().choices("ab", **options)

    drawn = [line.partition(" ")[0] for line in islice(record_lines(Few(0)), 200)]  # of 256
    assert len(set(drawn)) == 200


def test_no_record_is_asked_for_twice_and_they_stand_all_over_the_context_in_another_order() -> None:
    depths, in_order = [], 0
    for session in sessions(length=4096, limit=10):
        lines = lines_of(session)
        answers = [str(turn.answer).split("\n") for turn in session.turns]
        asked = [line for answer in answers for line in answer]
        assert len(set(asked)) == len(asked)
        places = [[lines.index(line) for line in answer] for answer in answers]
        in_order += sum(answer == sorted(answer) for answer in places)
        depths += [place / len(lines) for answer in places for place in answer]
    thirds = Counter(int(3 * depth) for depth in depths)
    assert in_order == 0
    assert min(thirds[0], thirds[1], thirds[2]) > len(depths) / 4


@pytest.mark.parametrize(("length", "new"), [(16_000, 1280), (16_000, 2560), (80_000, 10_240)])
def test_answers_fill_four_fifths_of_what_a_model_may_write(length: int, new: int) -> None:
    (session,) = sessions(length=length, max_new_tokens=new, limit=1)
    for turn in session.turns:
        assert 0.74 * new < len(Words().encode(str(turn.answer), add_special_tokens=False)) < 0.86 * new


def test_a_short_context_has_shorter_answers_and_a_number_of_records_is_kept() -> None:
    (short,) = sessions(length=1024, limit=1)
    assert {str(turn.answer).count("\n") + 1 for turn in short.turns} == {(short.items or 0) // 5}
    (told,) = sessions(records=7, limit=1)
    assert {str(turn.answer).count("\n") + 1 for turn in told.turns} == {7}
    (tiny,) = sessions(max_new_tokens=1, limit=1)
    assert {str(turn.answer).count("\n") + 1 for turn in tiny.turns} == {1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 40}, r"task\.length=40 holds \d+ records, but the questions need 5; raise task\.length"),
        ({"size": 34, "records": 7}, r"task\.size=34 holds 34 records, but the questions need 35"),
        ({"records": 0}, r"task\.records=0: must be at least 1, or null"),
        ({"records": 60, "size": 400}, r"task\.records=60 has \d+ tokens, more than task\.max_new_tokens=1280"),
        ({"data": "x.jsonl"}, r"task\.data=x\.jsonl: Gen\.Records has generated contexts only"),
    ],
)
def test_what_cannot_be_asked_is_an_error(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ScbenchError, match=message):
        sessions(**options)


def test_a_session_depends_on_its_number_and_the_seed_alone() -> None:
    few, many = sessions(limit=2), sessions(limit=3)
    assert many[:2] == few
    assert len({session.documents for session in many}) == 3
    assert all(a.context != b.context for a, b in zip(few, sessions(limit=2, seed=1), strict=True))
    assert few[0].documents == ("268251a0223098dc",)  # the same on every machine


def test_floors_do_not_hold_the_answers() -> None:
    for kind in ("none", "shuffled"):
        for floor in sessions(limit=2, context=kind):
            assert not any(line in floor.context for turn in floor.turns for line in str(turn.answer).split("\n"))


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_what_may_be_dropped_is_not_needed(share: float) -> None:
    task = GenRecords(length=9000)
    for session in make_sessions(replace(task, limit=2), Words()):
        groups = task.droppable(session)
        assert len(groups) == (session.items or 0) - sum(str(turn.answer).count("\n") + 1 for turn in session.turns) > 9
        dropped = sorted((span for group in groups[: round(share * len(groups))] for span in group), reverse=True)
        left = session.context
        for start, stop in dropped:
            left = left[:start] + left[stop:]
        for turn in session.turns:
            assert solvers.gen_records(left, turn.question) == turn.answer
            assert task.answer_kept(turn, session.context, left)
        first, *_ = str(session.turns[0].answer).split("\n")
        assert not task.answer_kept(session.turns[0], session.context, left.replace(first[:-1], ""))


def test_long_contexts_are_made_fast_and_read_twice() -> None:
    tokenizer = Quarters()
    start = time.process_time()
    (session,) = sessions(tokenizer, length=400_000, limit=1)
    assert time.process_time() - start < 2
    assert 396_000 <= session.tokens <= 400_000
    assert sum(tokenizer.read) < 2.5 * 400_000


def test_the_yaml_lists_the_options() -> None:
    path = Path(__file__).parents[2] / "conf" / "task" / "gen_records.yaml"
    listed = yaml.safe_load(path.read_text())
    assert listed.pop("_target_") == "scbench.tasks.gen_records.GenRecords"
    assert listed == {field.name: getattr(GenRecords(), field.name) for field in fields(GenRecords)}


def test_it_is_no_task_of_scbench() -> None:
    assert not GenRecords.part_of_scbench
    assert Task.part_of_scbench


GOLD = "\n".join(f"key{place:05} | CODE{place:02} | {place} | 00ff | 0.{place}" for place in range(8))
FIRST, SECOND, *REST = GOLD.split("\n")


@pytest.mark.parametrize(
    ("prediction", "strict", "quarters", "ref"),
    [
        (GOLD, 1, (1, 1, 1, 1), 1),
        ("", 0, (0, 0, 0, 0), 0),
        (GOLD.replace(" | ", "|").replace("\n", "\n\n") + "\n", 1, (1, 1, 1, 1), 0.0),
        (f"Here they are:\n```\nkey | code | x\n{GOLD}\n```", 1, (1, 1, 1, 1), 1),
        ("\n".join(f"{n}. {line}" for n, line in enumerate(GOLD.split("\n"), 1)), 1, (1, 1, 1, 1), 1),
        ("\n".join(f"| {line} |" for line in GOLD.split("\n")), 1, (1, 1, 1, 1), 1),
        ("\n".join([FIRST, SECOND]), 0.25, (1, 0, 0, 0), 0.25),
        ("\n".join([FIRST, *REST]), 0.125, (0.5, 0, 0, 0), 0.88),  # ref rounds as the original does
        ("\n".join([SECOND, FIRST, *REST]), 0.75, (0, 1, 1, 1), 1),
        (GOLD.replace("CODE07", "CODE70"), 0.875, (1, 1, 1, 0.5), 0.88),
        (GOLD.replace("CODE07", "code07"), 0.875, (1, 1, 1, 0.5), 1),  # ref does not mind the case
        (GOLD.replace("0.3", "0.3 | more"), 0.875, (1, 0.5, 1, 1), 1),
        (GOLD.replace("key00000", "xkey00000"), 0, (0, 0, 0, 0), 1),  # no key: no record, and all others move up
    ],
)
def test_records_are_scored_by_position(prediction: str, strict: float, quarters: Any, ref: float) -> None:
    scores = score("gen_records", prediction, GOLD)
    assert (scores.strict, scores.quarters, scores.ref, scores.raised) == (strict, quarters, ref, None)


@given(st.integers(1, 30), st.data())
def test_quarters_are_the_strict_score_in_parts(count: int, data: st.DataObject) -> None:
    """Against a count of the right lines, where each line is written out right or wrong."""
    gold = [f"{place:08} | {place}" for place in range(count)]
    right = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    said = "\n".join(line if good else line + "0" for line, good in zip(gold, right, strict=True))
    assert records.strict(said, "\n".join(gold)) == pytest.approx(sum(right) / count)
    parts = records.quarters(said, "\n".join(gold))
    edges = [count * part // 4 for part in range(5)]
    for number, part in enumerate(parts):
        its = right[edges[number] : edges[number + 1]]
        assert part == pytest.approx(sum(its) / len(its)) if its else math.isnan(part)


def test_decay_over_the_output_shows_in_the_quarters() -> None:
    source = random.Random(0)
    gold = [f"{place:08} | {source.random()}" for place in range(400)]
    said = [line if source.random() > place / 400 else line + "!" for place, line in enumerate(gold)]
    parts = records.quarters("\n".join(said), "\n".join(gold))
    assert list(parts) == sorted(parts, reverse=True)
    assert parts[0] > 0.8 > 0.2 > parts[3]
