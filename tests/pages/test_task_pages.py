from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scbench.models.model import ModelConfig, load_tokenizer
from scbench.pages.tasks import SHOWN, SIZES, hashes, page, session_hash, shortened, tasks
from scbench.tasks.base import Task
from scbench.tasks.en_qa import EnQA
from toy_tokenizers import byte_level

ROOT = Path(__file__).parents[2]
TASKS = tasks(ROOT / "conf")


@pytest.fixture(scope="module")
def smollm2() -> Any:
    return load_tokenizer(ModelConfig(path="embedded:smollm2_135m"))


def test_there_is_a_page_and_a_hash_of_every_size_for_every_task() -> None:
    known = json.loads((ROOT / "docs" / "data_hashes.json").read_text())
    assert {file.stem for file in (ROOT / "docs" / "tasks").glob("*.md")} == {task.name for task in TASKS} == set(known)
    assert all(list(of_task) == list(SIZES) for of_task in known.values())


def test_a_hash_names_everything_that_a_session_asks_and_expects() -> None:
    session = EnQA(length=4096).generate(0, byte_level((), eos="</s>"))
    assert session_hash(session) == session_hash(EnQA(length=4096).generate(0, byte_level((), eos="</s>")))
    first, *rest = session.turns
    for other in (
        replace(session, context=session.context + " "),
        replace(session, turns=(replace(first, answer="x"), *rest)),
        replace(session, turns=(replace(first, question="x"), *rest)),
    ):
        assert session_hash(other) != session_hash(session)


def test_a_shortened_text_has_both_ends() -> None:
    text = "a" * SHOWN + "b" * SHOWN
    short = shortened(text)
    assert short.startswith("aaa")
    assert short.endswith("bbb")
    assert f"{SHOWN} more characters" in short
    assert shortened("short") == "short"


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_pages_and_hashes_are_those_of_the_code(task: Task, smollm2: Any) -> None:
    """`python -m scbench.pages tasks` writes them anew."""
    written = (ROOT / "docs" / "tasks" / f"{task.name}.md").read_text(encoding="utf-8")
    assert written == page(task, smollm2, lambda ids: str(smollm2.decode(ids)))
    known = json.loads((ROOT / "docs" / "data_hashes.json").read_text())
    assert known[task.name] == hashes(task, smollm2)
