"""The golden vectors of the original, and copies of them with one value changed."""

from __future__ import annotations

import copy
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from scbench import cli
from scbench.scoring import code
from scbench.scoring.aggregation import aggregate
from scbench.scoring.golden import replay, same
from scbench.scoring.rules import RULES

DATA = json.loads((Path(__file__).parents[1] / "data" / "reference_scoring.json").read_text(encoding="utf-8"))
FILE = Path(__file__).parents[1] / "data" / "reference_scoring.json"
SECTIONS = ("repoqa_unit", "repoqa_similarity", "aggregation")
COUNTS = {
    **{name: len(cases) for name, cases in DATA["scorers"].items()},
    **{name: len(DATA[name]) for name in SECTIONS},
}


def test_every_golden_case_agrees() -> None:
    replayed = list(replay(DATA))
    assert Counter(case.name for case in replayed) == COUNTS
    assert [case.id for case in replayed if not case.agrees] == []


def test_the_file_has_cases_of_every_scorer() -> None:
    assert len(DATA["scorers"]) == len(RULES.keys() - {"gen_records"})  # which the original does not have
    assert all(count >= 65 for count in COUNTS.values())


NAMES = {"scbench_qa_eng": "en_qa", "scbench_choice_eng": "en_multichoice"}


@pytest.mark.parametrize("task", NAMES)
def test_labels_are_what_the_originals_scorers_receive(task: str) -> None:
    for case in DATA["scorers"][task]:
        assert RULES[NAMES[task]].label(case["ground_truth"], case.get("options") or ()) == case["label"], case["id"]


def changed(section: str, index: int, field: str, value: Any) -> dict[str, Any]:
    cases = DATA["scorers"][section] if section in DATA["scorers"] else DATA[section]
    case = copy.deepcopy(cases[index])
    case[field] = value
    return {"scorers": {section: [case]}} if section in DATA["scorers"] else {section: [case]}


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [(name, "score", 0.123456) for name in DATA["scorers"]]
    + [("repoqa_unit", field, "x") for field in ("extracted", "best_target", "similarities", "score", "is_best")]
    + [("repoqa_unit", "best_similarity", 0.5), ("repoqa_similarity", "similarity", 0.5)]
    + [("aggregation", field, "x") for field in ("acc_str", "numbers", "columns", "turn_order", "summary_line")]
    + [("scbench_kv", "error", "TypeError")],
)
def test_a_changed_value_is_a_mismatch(section: str, field: str, value: Any) -> None:
    (case,) = replay(changed(section, 0, field, value))
    assert not case.agrees


def test_an_error_is_expected_by_its_name() -> None:
    case = {"id": "e", "task": "scbench_mf", "prediction": "9" * 400, "ground_truth": 9, "error": "OverflowError"}
    (replayed,) = replay({"scorers": {"scbench_mf": [case]}})
    assert replayed.agrees
    (replayed,) = replay({"scorers": {"scbench_mf": [case | {"error": "TypeError"}]}})
    assert not replayed.agrees


def test_an_unknown_task_agrees_with_nothing() -> None:
    case = {"id": "u", "task": "scbench_cobol", "prediction": "x", "ground_truth": "x", "error": "KeyError"}
    (replayed,) = replay({"scorers": {"scbench_cobol": [case]}})
    assert not replayed.agrees


def test_a_case_that_expects_nothing_is_an_error() -> None:
    case = {"id": "n", "task": "scbench_kv", "prediction": "x", "ground_truth": "x"}
    with pytest.raises(KeyError, match="says nothing that is expected"):
        list(replay({"scorers": {"scbench_kv": [case]}}))


def test_a_truth_value_is_no_number() -> None:
    assert not same(True, 1.0)
    assert same(True, True)
    assert not same({"score": True}, {"score": 1.0})


@pytest.mark.parametrize(
    ("task", "mode", "records", "raised"),
    [
        ("scbench_kv", "multi_turn", [{"turn_idx": 0, "prediction": "x", "ground_truth": 1}], TypeError),
        ("scbench_mf", "multi_request", [{"turn_idx": 0, "prediction": "1", "ground_truth": "1"}], TypeError),
        ("scbench_kv", "multi_request", [], ZeroDivisionError),
        ("scbench_kv", "multi_turn", [{"turn_idx": 0, "ground_truth": "x"}], ValueError),
        ("scbench_kv", "multi_turn", [{"turn_idx": 0, "prediction": "x"}], ValueError),
        ("scbench_kv", "multi_turn", [{"prediction": "x", "ground_truth": "x"}], KeyError),
        (
            "scbench_repoqa",
            "multi_turn",
            [{"turn_idx": 0, "prediction": "x", "ground_truth": "x", "lang": "go", "repo": "r"}],
            KeyError,
        ),
    ],
)
def test_a_file_that_makes_the_original_fail(
    task: str, mode: str, records: list[dict[str, Any]], raised: type[Exception]
) -> None:
    with pytest.raises(raised):
        aggregate(task, mode, records, 131072)
    case = {"id": "a", "task": task, "mode": mode, "records": records, "max_seq_length": 1, "error": raised.__name__}
    (replayed,) = replay({"aggregation": [case]})
    assert replayed.agrees


def test_a_record_without_the_label_that_the_first_one_has_is_compared_with_a_placeholder() -> None:
    first = {"turn_idx": 0, "prediction": "x", "ground_truth": "x"}
    records = [first, {"turn_idx": 0, "prediction": "x"}, {"turn_idx": 0, "prediction": "XXXXXXXXXX"}]
    assert aggregate("scbench_kv", "multi_turn", records, -1).acc_str == "66.667"


def test_bleu_of_texts_worked_out_by_hand() -> None:
    assert code.bleu("a b c d e", "a b c d e") == 1.0
    # 5 of 6 words, 4 of 5 pairs, 3 of 4 triples, 2 of 3 fours; the candidate is longer: no brevity penalty
    assert code.bleu("a b c d e x", "a b c d e") == pytest.approx((5 / 6 * 4 / 5 * 3 / 4 * 2 / 3) ** 0.25)


def test_the_command_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["golden", str(FILE)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"scbench_kv: cases {COUNTS['scbench_kv']}, mismatches 0" in lines
    assert lines[-1] == f"total: cases {sum(COUNTS.values())}, mismatches 0"


def test_the_command_shows_mismatches_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "changed.json"
    file.write_text(json.dumps(changed("scbench_kv", 0, "score", 0.5)))
    assert cli.main(["golden", str(file)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "scbench_kv: cases 1, mismatches 1",
        f"  {DATA['scorers']['scbench_kv'][0]['id']}: expected {{'score': 0.5}}, got {{'score': 1.0}}",
        "total: cases 1, mismatches 1",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        ("{", "cannot be read"),
        ("[]", "holds no object"),
        ("{}", "has none of the sections"),
        ('{"aggregation": [1]}', "has not the shape"),
    ],
)
def test_a_file_that_is_not_golden(
    content: str | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file.json"
    if content is not None:
        file.write_text(content)
    assert cli.main(["golden", str(file)]) == 2
    assert message in capsys.readouterr().err
