from __future__ import annotations

import gzip
import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from scbench.errors import ScbenchError
from scbench.models.cache import cache_folder
from scbench.prompts import golden, reference_tokens
from scbench.prompts.golden import checks, mismatch_ids, replay

FILE = Path(__file__).parents[1] / "data" / "reference_prompts.json.gz"


class Other:
    """A tokenizer that the file was not recorded with."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        return [ord(sign) for sign in text]

    def decode(self, token_ids: Any, /, *, clean_up_tokenization_spaces: bool) -> str:
        return "".join(map(chr, token_ids))


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    return json.loads(gzip.decompress(FILE.read_bytes()))


def small(data: dict[str, Any], task: str, mode: str, template: str | None) -> dict[str, Any]:
    """The file with one run of one row."""
    (dataset,) = [dataset for dataset in data["datasets"] if dataset["task"] == task]
    run = next(
        run
        for run in dataset["runs"]
        if (run["mode"], run["chat_template"], run.get("kind")) == (mode, template, None) and run["max_turns"] == 5
    )
    run = deepcopy(run) | {"outputs": deepcopy(run["outputs"][:1])}
    return {**data, "default_budgets": [], "datasets": [{**dataset, "rows": dataset["rows"][:1], "runs": [run]}]}


def test_every_recorded_string_and_limit(data: dict[str, Any]) -> None:
    results = list(replay(data, Other()))
    assert len(results) == 19
    assert [(variant, wrong) for variant, _, wrong in results if wrong] == []
    assert sum(cases for _, cases, _ in results) > 4000


@pytest.mark.slow
def test_every_recorded_token(data: dict[str, Any]) -> None:
    if not list((cache_folder() / "models").glob("smollm2_135m-*")):
        pytest.skip("the SmolLM2 tokenizer is not unpacked here")
    assert mismatch_ids(data) == []
    assert sum(cases for _, cases, _ in replay(data)) > 9000


@pytest.mark.parametrize("mode", ["multi_turn", "multi_turn_no_golden", "multi_request"])
@pytest.mark.parametrize("template", [None, "smollm2", "llama3_style", "llama31_style"])
def test_a_changed_character_is_a_mismatch(data: dict[str, Any], mode: str, template: str | None) -> None:
    one = small(data, "scbench_kv", mode, template)
    one["datasets"][0]["runs"][0]["outputs"][0]["prompts"][1] += "x"
    (name,) = mismatch_ids(one, Other())
    assert name.endswith("row 0, prompts[1]")
    ((_, cases, wrong),) = replay(one, Other())
    assert cases > wrong == 1


def test_errors_of_the_original_are_expected_values(data: dict[str, Any]) -> None:
    one = small(data, "scbench_mf", "multi_turn", "smollm2")
    one["datasets"][0]["rows"] = deepcopy(one["datasets"][0]["rows"])
    one["datasets"][0]["rows"][0]["multi_turns"][2]["input"] = "Which number?"
    run = one["datasets"][0]["runs"][0]
    assert len(mismatch_ids(one, Other())) == 2
    run |= {"outputs": [], "error": "IndexError", "outputs_before_error": 0}
    assert mismatch_ids(one, Other()) == []


def test_other_tokenizers_compare_strings_only_and_say_so(
    data: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    found = list(checks(small(data, "scbench_kv", "multi_turn", None), Other()))
    assert not any("ids" in check.id for check in found)
    assert "prompt strings only" in caplog.text


def test_a_file_of_another_form_is_an_error() -> None:
    with pytest.raises(ScbenchError, match="not a file of recorded prompts"):
        list(checks({"datasets": [{}], "tokenizer": {"probes": []}}, Other()))


def test_data_that_holds_the_marker_cuts_context_and_query(data: dict[str, Any]) -> None:
    one = small(data, "scbench_vt", "multi_request", "smollm2")
    row = one["datasets"][0]["rows"][0]
    changed = {"input": "before[SEPSEPSEP]after", "multi_turns": [{"input": "a[SEPSEPSEP]b", "answer": ["A"]}]}
    one["datasets"][0]["rows"] = [row | changed]
    run = one["datasets"][0]["runs"][0]
    context = run["outputs"][0]["prompts"][0].partition("user\n")[0] + "user\nbefore"
    run["outputs"] = [{"prompts": [context, "a"], "max_new_tokens": [30]}]
    run |= {"turns_for_budget": 1, "budget": 131072 - 30 - 1000}
    assert mismatch_ids(one, Other()) == []


@pytest.mark.parametrize(("budget", "expected"), [(10, range(10)), (9, [0, 1, 2, 3, 6, 7, 8, 9]), (-1, range(10))])
def test_the_middle_goes_and_an_odd_budget_loses_one(budget: int, expected: Any) -> None:
    assert reference_tokens.truncate(tuple(range(10)), budget) == tuple(expected)


@pytest.mark.parametrize("budget", [0, 1])
def test_no_budget_is_the_originals_error(budget: int) -> None:
    with pytest.raises(golden.OriginalError) as error:
        reference_tokens.truncate((1, 2, 3), budget)
    assert error.value.raised == "AssertionError"


def test_limits_that_do_not_fit() -> None:
    assert reference_tokens.answer_limits("retr_kv", 150, (None,)) == (500,)
    assert reference_tokens.answer_limits("retr_kv", 151, (None,)) == (150,)
    assert reference_tokens.answer_limits("mix_sum_niah", 800, ("passkey", "en_sum")) == (15, 800)
    with pytest.raises(golden.OriginalError, match="AssertionError"):
        reference_tokens.answer_limits("mix_sum_niah", 799, ("passkey",))
