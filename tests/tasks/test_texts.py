"""The tasks that are made of installed packages. What is expected is worked out from whatever is installed here."""

from __future__ import annotations

import ast
import random
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import solvers_texts as solvers
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from published_rows import ROWS, jsonl

from scbench.errors import ScbenchError
from scbench.scoring.item import Answered
from scbench.scoring.rules import score_all
from scbench.tasks import code_repoqa, documents
from scbench.tasks.base import FieldError, Task
from scbench.tasks.code_repoqa import CodeRepoQA
from scbench.tasks.en_sum import EnSum
from scbench.tasks.functions import disguised, documented
from scbench.tasks.mix_repoqa_kv import MixRepoQAKV
from scbench.tasks.mix_sum_niah import MixSumNIAH
from scbench.tasks.packages import DESCRIBED, SOURCES, descriptions, far_apart, installed
from scbench.tasks.session import Session, Turn
from scbench.tasks.sessions import make_sessions
from scbench.tasks.shrink import drop
from toy_tokenizers import byte_level

TASKS: tuple[Task, ...] = (CodeRepoQA(), EnSum(), MixSumNIAH(), MixRepoQAKV())
FEW = {"networkx": "networkx", "rich": "rich"}
every_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
code_tasks = pytest.mark.parametrize("task", [TASKS[0], TASKS[3]], ids=lambda task: task.name)
document_tasks = pytest.mark.parametrize("task", [TASKS[1], TASKS[2]], ids=lambda task: task.name)


class Pieces:
    """Tokens that a regular expression finds."""

    def __init__(self, pattern: str) -> None:
        self.pattern = re.compile(pattern, re.DOTALL)

    def encode(self, text: str, *, add_special_tokens: bool) -> list[str]:
        assert not add_special_tokens
        return self.pattern.findall(text)


WORDS = r" ?[A-Za-z]{1,4}|\d{1,3}|[^\w ]+|\s+"  # about the lengths of a large vocabulary
TOKENIZERS = (WORDS, r"[A-Za-z]+|\d|[^\w]", r"..?.?")


@pytest.fixture(autouse=True)
def few_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a solver can know all code that may come."""
    monkeypatch.setattr(code_repoqa, "SOURCES", FEW)


def sessions(task: Task, pattern: str = WORDS, **options: Any) -> list[Session]:
    return list(make_sessions(replace(task, **options), Pieces(pattern)))


def solve(session: Session, turn: Turn) -> str:
    part = turn.subtask or session.task
    if part == "code_repoqa":
        return solvers.code_repoqa(session.context, turn.question, solvers.index_code(*FEW.values()))
    solver: Callable[[str, str], str] = getattr(solvers, part)
    return solver(session.context, turn.question)


@every_task
@pytest.mark.parametrize("length", [1024, 2048, 9000])
@pytest.mark.parametrize("pattern", TOKENIZERS)
def test_the_context_has_the_asked_length(task: Task, length: int, pattern: str) -> None:
    for session in sessions(task, pattern, length=length, limit=3):
        tokens = len(Pieces(pattern).encode(session.context, add_special_tokens=False))
        assert session.tokens == tokens <= length
        longest = 2500 if "sum" in task.name else 1800  # characters of an item
        assert length - tokens <= max(length / 100, min(longest, length / 2))
        assert session.characters == len(session.context)
        assert len(session.turns) == task.turns


@every_task
def test_one_more_item_would_be_too_long(task: Task) -> None:
    for index in range(4):
        made = replace(task, length=3000)
        session = made.generate(index, Pieces(WORDS))
        assert session.items is not None
        assert length_of_size(made, index, session.items) == session.tokens <= 3000
        if 3000 - session.tokens > max(30, session.tokens / session.items):
            assert length_of_size(made, index, session.items + 1) > 3000


def length_of_size(task: Task, index: int, items: int) -> int:
    """The tokens of the context of `items` items, chosen as for the task's length."""
    wanted = task.length

    class Exactly:
        """A task that shows just so many items."""

        def fitted(self, text: Callable[[int], str], tokenizer: Any, *, sample: int) -> Any:
            shown = text(items)
            return type(
                "Fitted",
                (),
                {"text": shown, "items": items, "tokens": len(tokenizer.encode(shown, add_special_tokens=False))},
            )

    exact = type(type(task).__name__, (Exactly, type(task)), {})(length=wanted, turns=task.turns)
    return exact.generate(index, Pieces(WORDS)).tokens


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(TASKS), st.integers(1024, 7000), st.integers(0, 10**6), st.sampled_from(TOKENIZERS))
def test_any_length_and_seed_is_answered_by_the_text_alone(task: Task, length: int, seed: int, pattern: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(code_repoqa, "SOURCES", FEW)
        (session,) = sessions(task, pattern, length=length, seed=seed, limit=1)
    assert session.tokens <= length
    for turn in session.turns:
        assert solve(session, turn) == turn.answer


@every_task
def test_gold_answers_score_full_marks(task: Task) -> None:
    items = [
        Answered(
            task.name,
            f"```python\n{turn.answer}\n```" if turn.function else str(turn.answer),
            turn.answer,
            subtask=turn.subtask,
            session=session.id,
            language=session.language,
            repo=session.repo,
            function=turn.function,
        )
        for session in sessions(task, length=3000, limit=8)
        for turn in session.turns
    ]
    assert {(score.strict, score.ref, score.raised) for score in score_all(items)} == {(1.0, 1.0, None)}


@every_task
def test_a_session_depends_on_its_number_and_the_seed_alone(task: Task) -> None:
    few, many = sessions(task, length=2048, limit=2), sessions(task, length=2048, limit=4)
    assert many[:2] == few == sessions(task, length=2048, limit=2)
    assert len({session.context for session in many}) == 4
    other = sessions(task, length=2048, limit=2, seed=1)
    assert all(a.context != b.context for a, b in zip(few, other, strict=True))


@every_task
def test_neighbours_share_no_document_so_that_they_can_be_exchanged(task: Task) -> None:
    for session, other in zip(
        sessions(task, length=2048, limit=3), sessions(task, length=2048, limit=3, context="shuffled"), strict=True
    ):
        assert other.turns == session.turns
        assert other.context != session.context
        for turn in session.turns:
            assert (turn.subtask or task.name) == "en_sum" or str(turn.answer) not in other.context


@every_task
def test_turns_ask_for_different_things_all_over_the_context(task: Task) -> None:
    thirds: Counter[int] = Counter()
    for session in sessions(task, length=4096, limit=30):
        assert len({turn.question for turn in session.turns}) == len({turn.answer for turn in session.turns})
        assert len({turn.question for turn in session.turns}) == task.turns
        for turn in session.turns:
            asked = re.search(r"document (\d+)", turn.question)
            sought = f"Document {asked[1]}\n" if asked else str(turn.answer)
            assert session.context.count(sought) == (2 if turn.subtask == "passkey" else 1)
            thirds[int(3 * session.context.index(sought) / session.characters)] += 1
    assert min(thirds[0], thirds[1], thirds[2]) > thirds.total() / 6


@every_task
@pytest.mark.parametrize("share", [0.0, 0.3, 0.8, 1.0])
def test_dropping_whole_items_keeps_every_answer(task: Task, share: float) -> None:
    for session in sessions(task, length=5000, limit=3):
        groups = task.droppable(session)
        assert groups
        left = drop(session, groups[: round(share * len(groups))])
        assert [solve(left, turn) for turn in left.turns] == [turn.answer for turn in session.turns]
        assert all(task.answer_kept(turn, session.context, left.context) for turn in session.turns)
        assert left.context == left.context.strip()
        assert "\n\n\n\n" not in left.context
        if share == 1:
            assert not task.droppable(left)


@document_tasks
def test_a_cut_document_is_noticed(task: Task) -> None:
    (session,) = sessions(task, length=5000, limit=1)
    for turn in session.turns:
        if found := re.search(r"document (\d+)", turn.question):
            start = session.context.index(f"Document {found[1]}\n")
            cut = session.context[: start + 40] + session.context[start + 60 :]
            assert not task.answer_kept(turn, session.context, cut)
    assert not all(task.answer_kept(turn, session.context, "") for turn in session.turns)


@pytest.mark.parametrize("task", [MixSumNIAH(), MixRepoQAKV()], ids=lambda task: task.name)
def test_the_parts_of_a_mix_alternate_and_take_turns_in_being_first(task: Task) -> None:
    orders = [[turn.subtask for turn in session.turns] for session in sessions(task, length=2048, limit=2)]
    assert orders[0] == list(reversed(orders[1]))
    assert orders[0][:2] * 4 == orders[0]
    assert len(set(orders[0])) == 2


@pytest.mark.parametrize(
    ("task", "own"),
    [(MixSumNIAH(), {"en_sum": 800, "passkey": 15}), (MixRepoQAKV(), {"code_repoqa": 1024, "retr_kv": 80})],
)
def test_each_part_of_a_mix_has_its_limit_under_the_one_for_all(task: Task, own: dict[str, int]) -> None:
    (session,) = sessions(task, length=2048, limit=1)
    assert task.answer_limits(session) == tuple(own[turn.subtask or ""] for turn in session.turns)
    capped = replace(task, max_new_tokens=32).answer_limits(session)
    assert capped == tuple(min(32, own[turn.subtask or ""]) for turn in session.turns)
    long = replace(task, max_new_tokens=4096).answer_limits(session)
    assert sorted(set(long)) == [min(own.values()), 4096]  # only the long answers may get longer


def test_five_pass_keys_are_hidden_and_more_where_more_are_asked_for() -> None:
    for turns, count in ((1, 5), (8, 5), (14, 7)):
        for session in sessions(MixSumNIAH(), length=6000, limit=2, turns=turns):
            assert len(set(re.findall(r"^The pass key of .* is (\d{5})\.", session.context, re.M))) == count
            assert session.context.startswith("Document 1\n")


@pytest.mark.parametrize(("size", "count"), [(4, 4), (20, 10), (60, 30), (230, 100)])
def test_short_contexts_have_fewer_pairs(size: int, count: int) -> None:
    (session,) = sessions(MixRepoQAKV(), size=size, limit=1)
    assert len(re.findall('^# ".{36}": ".{36}"$', session.context, re.M)) == count
    assert len(ast.parse(session.context).body) == session.items == size


@code_tasks
def test_code_is_well_formed_moderate_and_says_nothing_of_its_names(task: Task) -> None:
    index = solvers.index_code(*FEW.values())
    for session in sessions(task, length=20_000, limit=2):
        assert session.language == "python"
        found = solvers.known_functions(session.context, index)
        names = [node.name for node, _ in found]
        assert len(set(names)) == len(names) == session.items
        spoken = set(re.findall(r"\w+", session.context))
        for node, known in found:
            assert known, node.name
            assert ast.get_docstring(node) is None
            lines = ast.unparse(node).count("\n") + 1
            assert 5 <= lines <= 30
            assert any(name not in spoken for name, _ in known)
        for turn in session.turns:
            if turn.function:
                assert str(turn.answer).startswith(f"def {turn.function}(")
                (original,) = {
                    name
                    for node, known in found
                    if node.name == turn.function
                    for name, said in known
                    if said.startswith(turn.question.split("\n")[0].partition(": ")[2])
                }
                assert original not in spoken
                squeezed = re.sub(r"[\W_]", "", turn.question).lower()
                assert re.sub("_", "", original).lower() not in squeezed
    assert len({session.repo for session in sessions(task, length=2048, limit=3)}) == 3


SOURCE = '''
import math

@staticmethod
def mean_of_squares(values, scale=1, *rest, floor=None, **more):
    """Average what comes out when every number is multiplied with itself.

    Parameters and such.
    """
    total = 0
    for value in values:  # mean_of_squares loops
        try:
            total += scale * value ** 2
        except TypeError as error:
            raise ValueError(f"bad {value!r}") from error
    inner = lambda value, other=0: value + other
    def shifted(number, by=0):
        return number + by
    if len(rest) > 1:
        return mean_of_squares(rest[1:], scale=scale, floor=floor)
    match rest:
        case [first, *others]:
            total += first
    return max(shifted(inner(math.sqrt(total ** 2), other=0) / len(values), by=more.get("by", 0)), floor or 0)

def cube_of_sums(values, scale=1):
    """Add all of the numbers, then raise what comes out to its third power.

    """
    total = 0
    for value in values:
        total += value
        total *= scale
    return total ** 3

def third_power(numbers, factor=1):
    """The same as the other one with other names, so it is left out of everything."""
    summed = 0
    for number in numbers:
        summed += number
        summed *= factor
    return summed ** 3

def said_by_name(values, scale=1):
    """This function is said by name, which would tell whoever reads the description."""
    total = 0
    for value in values:
        total += value
    return total ** 3 + scale

def used_elsewhere(values, scale=1):
    """Calls another one of these functions, whose own name must not be met anywhere."""
    total = 0
    for value in values:
        total -= cube_of_sums([value])
    return total / scale
'''


def test_renamed_functions_do_what_they_did(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(SOURCE, encoding="utf-8")
    known = documented(tmp_path / "module.py", "p 1")
    first, second = disguised(known, 2000, random.Random(1))
    assert [first.original, second.original] == ["mean_of_squares", "cube_of_sums"]
    assert first.description == "Average what comes out when every number is multiplied with itself."
    assert "#" not in first.source and "@" not in first.source and '"""' not in first.source
    for old in (
        "values",
        "scale",
        "value",
        "total",
        "error",
        "rest",
        "floor",
        "more",
        "inner",
        "other",
        "shifted",
        "number",
        "others",
        "mean_of_squares",
    ):
        assert not re.search(rf"\b{old}\b", first.source), old
    before: dict[str, Any] = {}
    after: dict[str, Any] = {"math": __import__("math")}
    exec(SOURCE, before)  # what the test itself wrote
    exec(first.source, after)
    exec(second.source, after)
    for arguments in (([1, 2, 3],), ([1, 2, 3], 2, 7), ([4], 1, 5, 6, 7), ([0.5],)):
        assert before["mean_of_squares"].__func__(*arguments, by=3) == after[first.name](*arguments, by=3)
    assert before["cube_of_sums"]([1, 2], 2) == after[second.name]([1, 2], 2)
    with pytest.raises(ValueError, match="bad 'x'"):
        after[first.name](["x"])
    assert next(disguised(known, 300, random.Random(1))).original == "cube_of_sums"


def test_no_description_is_the_beginning_of_another() -> None:
    known = code_repoqa.functions(CodeRepoQA(size=1), 0)
    said = sorted(" ".join(next(known).description.lower().split()) for _ in range(300))
    assert not any(other.startswith(one.rstrip(".")) for one, other in pairwise(said))


def test_files_that_python_cannot_read_have_no_functions(tmp_path: Path) -> None:
    (tmp_path / "old.py").write_text("print 'hello'", encoding="utf-8")
    (tmp_path / "latin.py").write_bytes(b"# \xe9\n")
    assert documented(tmp_path / "old.py", "p 1") == documented(tmp_path / "latin.py", "p 1") == ()


@document_tasks
def test_documents_are_numbered_and_do_not_tell_their_summaries(task: Task) -> None:
    for session in sessions(task, length=20_000, limit=3):
        shown = solvers.shown_documents(session.context)
        assert list(shown) == list(range(1, len(shown) + 1))
        assert len(session.documents) == len(shown)
        for turn in session.turns:
            if asked := re.search(r"document (\d+)", turn.question):
                said = solvers.words(" ".join(shown[int(asked[1])])).lower()
                assert solvers.words(str(turn.answer)).lower() not in said
                assert sum(map(len, shown[int(asked[1])])) >= 100


@document_tasks
def test_documents_do_not_repeat_up_to_the_stated_length_and_then_get_new_numbers(task: Task) -> None:
    paragraphs = sum(len(document.paragraphs) for document in documents.documents())
    (once,) = sessions(task, size=paragraphs, limit=1)
    assert len(once.documents) == len(set(once.documents)) == len(documents.documents()) > 5
    hidden = sum(len(line) + 2 for line in re.findall("^The pass key of .*$", once.context, re.M))
    headings = sum(len(f"Document {number}\n\n") for number in range(1, len(once.documents) + 1))
    assert once.characters - hidden - headings + 2 == EnSum.unrepeated()
    for length in (1024, 20_000, 120_000):
        (shorter,) = sessions(task, length=length, limit=1)
        assert shorter.characters < EnSum.unrepeated()
        assert len(set(shorter.documents)) == len(shorter.documents)
    (more,) = sessions(task, size=paragraphs + 40, limit=1)
    assert more.context.startswith(once.context[:500])
    assert len(set(more.documents)) == len(once.documents) < len(more.documents)
    assert more.documents[: len(once.documents)] == once.documents
    assert len({turn.answer for turn in more.turns}) == task.turns
    for turn in more.turns:
        assert solve(more, turn) == turn.answer


@document_tasks
def test_a_document_is_asked_for_once_however_often_it_comes(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    few = descriptions()[: task.turns]
    monkeypatch.setattr(documents, "descriptions", lambda: few)
    known = documents.documents()
    asked = min(task.turns, len(known))
    paragraphs = 3 * sum(len(document.paragraphs) for document in known)
    for session in sessions(task, size=paragraphs, limit=3, turns=asked):
        assert min(Counter(session.documents).values()) >= 3
        assert set(session.documents) == {document.hash for document in known}
        answers = [turn.answer for turn in session.turns if turn.subtask != "passkey"]
        assert len(answers) == len(set(answers)) > 1


@document_tasks
def test_only_documents_that_have_ended_are_asked_for(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"scbench.tasks.{task.name}.longest_document", lambda *_: 1000)
    for size in range(60, 90):
        (session,) = sessions(task, size=size, limit=1, turns=2, seed=size)
        (longer,) = sessions(task, size=size + 600, limit=1, turns=2, seed=size)
        shown, whole = (solvers.shown_documents(each.context) for each in (session, longer))
        for turn in session.turns:
            if asked := re.search(r"document (\d+)", turn.question):
                assert shown[int(asked[1])] == whole[int(asked[1])]


def test_sessions_start_far_from_their_neighbours() -> None:
    starts = [far_apart(index, 31) for index in range(30)]
    assert len(set(starts)) == 30
    assert all(min((a - b) % 31, (b - a) % 31) > 10 for a, b in pairwise(starts))


@every_task
def test_what_sessions_are_made_of_is_named_with_its_versions(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_repoqa, "SOURCES", SOURCES)
    used = SOURCES if isinstance(task, CodeRepoQA | MixRepoQAKV) else DESCRIBED
    versions = installed(used)
    assert len(versions) > len(used) / 2
    assert type(task).ingredients().startswith("python 3.")
    before = type(task).ingredients()
    assert all(f"; {name} {version}" in before for name, version in versions.items())
    assert Task.ingredients() == ""


def test_descriptions_are_distinct() -> None:
    summaries = [described.summary for described in descriptions()]
    assert len(summaries) == len(set(summaries)) > 20
    assert all(len(summary.split()) > 2 for summary in summaries)


@every_task
def test_nothing_installed_is_an_error(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_repoqa, "SOURCES", {"no-such-package": "no_such_package"})
    monkeypatch.setattr(documents, "descriptions", lambda: ())
    with pytest.raises(ScbenchError, match=r"installed.*set task\.data$"):
        sessions(task)


def test_more_code_than_is_installed_is_an_error() -> None:
    with pytest.raises(ScbenchError, match=r"have no more functions; lower task\.length or task\.size$"):
        sessions(CodeRepoQA(), size=10_000, limit=1)


@every_task
def test_a_context_too_short_for_the_questions_is_an_error(task: Task) -> None:
    with pytest.raises(ScbenchError, match=r"task\.length=120 holds \d+ \w+, but the questions need"):
        sessions(task, length=120)


@every_task
def test_published_rows_are_read(task: Task, tmp_path: Path) -> None:
    published, rows = ROWS[task.name]
    (session,) = sessions(replace(task, data=str(jsonl(tmp_path / f"{published}.jsonl", rows))), limit=1)
    expected = {
        "code_repoqa": [(None, "double")],
        "en_sum": [(None, None)],
        "mix_sum_niah": [("en_sum", None), ("passkey", None)],
        "mix_repoqa_kv": [("code_repoqa", "double"), ("retr_kv", None)],
    }
    assert [(turn.subtask, turn.function) for turn in session.turns] == expected[task.name]
    assert session.language == ("python" if "repoqa" in task.name else None)
    for group in (groups := task.droppable(session)):
        assert all(session.context[start:stop].strip() for start, stop in group)
    assert all(task.answer_kept(t, session.context, drop(session, groups).context) for t in session.turns)


ASKED = {"input": "What?", "answer": "That."}


@pytest.mark.parametrize(
    ("task", "turn", "message"),
    [
        (CodeRepoQA(), ASKED, "name: expected a text, found nothing"),
        (CodeRepoQA(), ASKED | {"name": 3}, "name: expected a text, found a number"),
        (MixRepoQAKV(), ASKED, "task: expected a text, found nothing"),
        (MixRepoQAKV(), ASKED | {"task": "scbench_repoqa"}, "name: expected a text, found nothing"),
        (
            MixRepoQAKV(),
            ASKED | {"task": "scbench_passkey"},
            "task: must be scbench_repoqa or scbench_kv, not 'scbench_passkey'",
        ),
        (MixSumNIAH(), ASKED | {"task": "kv"}, "task: must be scbench_summary or scbench_passkey, not 'kv'"),
        (
            MixSumNIAH(),
            {"task": "scbench_passkey", "input": "What?", "answer": 7},
            "answer: expected a text, found a number",
        ),
    ],
)
def test_a_bad_turn_is_named(task: Task, turn: dict[str, Any], message: str) -> None:
    with pytest.raises(FieldError, match=f"^{re.escape(message)}$"):
        task.parse_turn(turn)


@every_task
def test_a_real_tokenizer_counts_the_same(task: Task) -> None:
    tokenizer = byte_level(("<s>",), eos="<s>", bos="<s>", adds_bos=True)
    (session,) = make_sessions(replace(task, length=3000, limit=1), tokenizer)
    assert len(tokenizer(session.context, add_special_tokens=False)["input_ids"]) == session.tokens <= 3000


@every_task
def test_generation_takes_seconds(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_repoqa, "SOURCES", SOURCES)
    start = time.perf_counter()
    (session,) = sessions(task, length=40_000, limit=1)
    assert 38_000 <= session.tokens <= 40_000
    assert time.perf_counter() - start < 15


@every_task
def test_the_yaml_lists_the_options(task: Task) -> None:
    path = Path(__file__).parents[2] / "conf" / "task" / f"{task.name}.yaml"
    text = path.read_text()
    listed = yaml.safe_load(text)
    assert text.startswith("# ")
    assert listed.pop("_target_") == f"{type(task).__module__}.{type(task).__name__}"
    assert listed == {field.name: getattr(task, field.name) for field in fields(task)}
