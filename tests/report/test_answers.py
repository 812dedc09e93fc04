import json

from hypothesis import given
from hypothesis import strategies as st

from record_builders import record
from scbench.record import Fidelity, KvBytes, Outcome, StageTime
from scbench.report.answers import LONGEST, answers
from scbench.report.questions import questions
from scbench.tasks import sessions
from scbench.tasks.session import Session, Turn

FULL = record(
    "s0",
    0,
    2,
    gold=("a", "b"),
    options=("x", "y"),
    kept=(3, 4),
    density=(0.5,),
    kv_bytes=KvBytes(dense=80, nominal=20, stored=40, touched=10),
    times={"decode": StageTime(0.5, "batch", 2)},
    fidelity=Fidelity(4, -2.0, 0.0),
    context_kept=0.0,
    kernels=("plain",),
    answer_cut=True,
)


def test_columns_hold_what_the_records_say():
    failed = record("s0", 1, 2, outcome=Outcome.OOM, detail="no memory", prediction="", gold=7)
    columns = answers([FULL, failed], {("s0", 0): (0.0, 0.5), ("s0", 1): (float("nan"), float("nan"))})
    assert columns["turn"] == [1, 2] and columns["outcome"] == ["ok", "oom"]
    assert columns["gold"] == ["a | b", "7"] and columns["options"] == [["x", "y"], []]
    assert columns["strict"] == [0.0, None] and columns["ref"] == [0.5, None]
    assert columns["kv_bytes"] == [[40, 10, 80, 20], None]
    assert columns["times"] == [{"decode": [0.5, "batch", 2]}, {}]
    assert columns["fidelity"] == [[-2.0, 4, 0.0], None]
    assert columns["answer_cut"] == [True, False] and columns["detail"] == ["", "no memory"]


def test_a_zero_is_said_and_an_empty_column_is_not():
    columns = answers([FULL], {("s0", 0): (0.0, 0.0)})
    assert columns["strict"] == [0.0] and columns["context_kept"] == [0.0]
    assert not {"detail", "gold_kept", "prompt_visible", "subtask"} & set(columns)


@given(st.text(alphabet=st.characters(), max_size=50), st.integers(0, 1))
def test_any_text_can_be_written_and_nothing_in_it_hides(text, more):
    said = record("s0", 0, 1, prediction=text + "\u202e\x00" + "x" * (more * 1_000_000), gold=text, detail=text)
    columns = answers([said], {})
    json.dumps(columns, ensure_ascii=False).encode("utf-8")
    assert "\\u202e\\x00" in columns["prediction"][0] and "\u202e" not in columns["prediction"][0]
    assert len(columns["prediction"][0]) < 12 * LONGEST


def test_questions_are_those_of_the_wanted_sessions(tmp_path):
    made = [
        Session(name, "retr_kv", "generated", "c", (Turn("one\x00?", "a"), Turn("two?", "b")), ("d",), 1, 7)
        for name in ("s0", "s1")
    ]
    path = tmp_path / "s.jsonl"
    sessions.write(path, made)
    assert questions(path, frozenset({"s1", "s9"})) == {
        "note": "",
        "sessions": {"s1": {"questions": ["one\\x00?", "two?"], "tokens": 7}},
    }


def test_a_sessions_file_that_is_not_there_is_said(tmp_path):
    found = questions(tmp_path / "gone.jsonl", frozenset({"s0"}))
    assert found["sessions"] == {} and "gone.jsonl: cannot be read" in found["note"]
