"""Fitting a session to a window: the fewest items go, in few passes, and the answers that were lost are told."""

from __future__ import annotations

import json
import re

import pytest

from scbench.modes import excess_tokens
from scbench.prompts.dialogue import Dialogue, build_dialogue
from scbench.run.fitting import Fitting
from scbench.tasks.base import Task
from scbench.tasks.en_qa import EnQA
from scbench.tasks.retr_kv import RetrKV
from scbench.tasks.session import Session
from toy_tokenizers import byte_level

TOKENIZER = byte_level(("<s>",), eos="<s>", bos="<s>", adds_bos=True)


class Whole(EnQA):
    """A task without items."""

    def droppable(self, session: Session) -> tuple[()]:
        return ()


def fitting(task: Task, window: int, fit: str, built: list[Session]) -> Fitting:
    def build(session: Session) -> Dialogue:
        built.append(session)
        return build_dialogue(session, task, TOKENIZER)

    return Fitting(task, window, "gold", fit, build, lambda ids: str(TOKENIZER.decode(list(ids))))


@pytest.mark.parametrize("window", [2500, 4000, 5900])
def test_the_fewest_pairs_go_in_few_passes(window: int) -> None:
    task = RetrKV(length=6000, max_new_tokens=20)
    session = task.generate(0, TOKENIZER)
    built: list[Session] = []
    dialogue, cut = fitting(task, window, "whole", built)(session)
    excess = excess_tokens(dialogue, window, (20,) * 5)
    assert excess <= 0
    smaller = [other for other in built if len(other.context) >= len(session.context) - 80 * (cut.groups - 1)]
    assert all(excess_tokens(build_dialogue(o, task, TOKENIZER), window, (20,) * 5) > 0 for o in smaller)
    assert -excess < 100, "a pair has about 80 characters, and no character is more than a token"
    assert len(built) <= 12
    text = TOKENIZER.decode(list(dialogue.context))
    pairs = json.loads(text[text.index("{") : text.rindex("}") + 1])
    assert len(pairs) == (session.items or 0) - cut.groups
    assert {str(turn.answer) for turn in session.turns} <= set(pairs.values())
    assert cut.answers == (False,) * 5
    assert re.fullmatch(rf"\d+ context tokens .* \({cut.groups} groups of whole items\)", cut.detail(0))


def test_a_task_without_items_loses_its_middle_and_the_answers_there() -> None:
    task = Whole(length=6000, max_new_tokens=20)
    session = task.generate(0, TOKENIZER)
    whole = fitting(task, 3000, "whole", [])(session)
    assert whole == fitting(task, 3000, "middle", [])(session)
    dialogue, cut = whole
    left = TOKENIZER.decode(list(dialogue.context))
    assert cut.groups == 0
    assert cut.answers == tuple(str(turn.answer) not in left for turn in session.turns)


def test_what_fits_is_left_alone() -> None:
    task = RetrKV(length=1000, max_new_tokens=20)
    session = task.generate(0, TOKENIZER)
    built: list[Session] = []
    _, cut = fitting(task, 100_000, "whole", built)(session)
    assert (cut.tokens, cut.answers, cut.detail(0)) == (0, (False,) * 5, "")
    assert built == [session]
