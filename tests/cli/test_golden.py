"""`scbench golden`: what is in a file is replayed, all of it, or said to be wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from scbench import cli

CASE = {"id": "c", "task": "scbench_kv", "prediction": "x", "ground_truth": "x", "score": 1.0}


def replayed(tmp_path: Path, data: Any) -> int:
    file = tmp_path / "golden.json"
    file.write_text(json.dumps(data))
    return cli.main(["golden", str(file)])


def test_a_right_and_a_wrong_case(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert replayed(tmp_path, {"scorers": {"scbench_kv": [CASE]}}) == 0
    assert replayed(tmp_path, {"scorers": {"scbench_kv": [CASE, CASE | {"score": 0.5}]}}) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "total: cases 2, mismatches 1"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"scorers": {"scbench_kv": []}}, "has no cases"),
        ({"scorers": {"scbench_kv": [{k: v for k, v in CASE.items() if k != "score"}]}}, "nothing that is expected"),
        ({"nothing": []}, "has none of the sections"),
        ({"datasets": [{}], "tokenizer": {"probes": []}}, "golden.json"),
    ],
)
def test_a_file_that_checks_nothing_is_an_error(
    tmp_path: Path, data: Any, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replayed(tmp_path, data) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1


def test_every_section_of_a_file_is_replayed(tmp_path: Path) -> None:
    """Prompts and scores in one file: a wrong score is found behind prompts that are right."""
    similarity = {"id": "s", "candidate": "a b c d", "reference": "a b c d", "similarity": 0.25}
    data = {"repoqa_similarity": [similarity], "scorers": {"scbench_kv": [CASE]}}
    assert replayed(tmp_path, data) == 1
    assert replayed(tmp_path, {**data, "repoqa_similarity": [similarity | {"similarity": 1.0}]}) == 0
