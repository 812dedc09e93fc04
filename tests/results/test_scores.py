from dataclasses import replace

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from scbench.errors import ScbenchError
from scbench.record import Fidelity, Outcome
from scbench.results.frames import read_scored
from scbench.results.scores import score_sweep
from sweep_builder import MIB, answers, cell, write_sweep


@pytest.fixture
def manifest(tmp_path):
    cells = {"aa": cell(), "bb": cell("streaming_llm", budget=0.25), "cc": cell(model="gone")}
    records = [
        answers("aa", "s1", [True, False], stored=8 * MIB),
        answers("aa", "s0", [True, True], stored=8 * MIB),
        answers("aa", "of another sweep", [True], stored=8 * MIB),
        answers("bb", "s0", [True, True], outcome=Outcome.OOM, detail="no, memory\n=1"),
    ]
    return write_sweep(tmp_path, cells, records, failed={"cc": "model 'gone' is not there"})


def test_rows_are_scored_and_in_order(manifest):
    scores = score_sweep(manifest).scores
    assert scores[["cell", "session", "turn", "strict", "kv_stored"]].to_numpy().tolist()[:4] == [
        ["aa", "s0", 0, 1.0, 8.0 * MIB],
        ["aa", "s0", 1, 1.0, 8.0 * MIB],
        ["aa", "s1", 0, 1.0, 8.0 * MIB],
        ["aa", "s1", 1, 0.0, 8.0 * MIB],
    ]
    assert scores["cell"].value_counts().to_dict() == {"aa": 4, "bb": 2}


def test_a_failed_turn_has_no_score_even_with_a_prediction(manifest):
    failed = score_sweep(manifest).scores.query("cell == 'bb'")
    assert failed["strict"].isna().all() and failed["ref"].isna().all()


def test_failures_are_turns_whole_cells_and_missing_sessions(manifest):
    failures = score_sweep(manifest).failures
    assert failures[["cell", "session", "turn", "outcome", "detail"]].to_numpy().tolist() == [
        ["bb", "s0", "0", "oom", "no, memory\n=1"],
        ["bb", "s0", "1", "oom", "no, memory\n=1"],
        ["bb", "", "", "missing", "1 of 2 sessions have no records"],
        ["cc", "", "", "failed", "model 'gone' is not there"],
    ]


def test_costs_keep_their_scope(manifest):
    costs = score_sweep(manifest).costs
    assert list(costs) == ["cell", "session", "turn", "decode_batch_s", "decode_batch_width", "prefill_shared_s"]
    assert costs.iloc[0].tolist() == ["aa", "s0", 0, 0.5, 2, 2.0]


def test_answers_are_compared_with_the_dense_cells_token_by_token(tmp_path):
    cells = {"aa": cell(), "bb": cell("streaming_llm", budget=0.25), "cc": cell("snapkv", mode="multi_request")}
    said = {"aa": [(1, 2, 3), (4, 5), (6,)], "bb": [(1, 2, 9, 9), (4, 5), (6, 7)], "cc": [(1,), (2,), (3,)]}
    records = []
    for name, answer in said.items():
        turns = answers(name, "s0", [True] * 3, fidelity=Fidelity(3, -1.5, 0.25), peak_bytes={"decode": 5 * MIB})
        records.append([replace(turn, output_ids=ids) for turn, ids in zip(turns, answer, strict=True)])
    manifest = write_sweep(tmp_path, cells, records)
    scored = score_sweep(manifest)
    found = scored.scores.set_index("cell")[["common_tokens", "same_as_dense", "gold_log_likelihood", "kl_to_dense"]]
    assert found.loc["aa"].to_numpy().tolist() == [[3, 1, -1.5, 0.25], [2, 1, -1.5, 0.25], [1, 1, -1.5, 0.25]]
    assert found.loc["bb"].to_numpy()[:, :2].tolist() == [[2, 0], [2, 1], [1, 0]]
    assert found.loc["cc"][["common_tokens", "same_as_dense"]].isna().all().all()  # no dense cell in its mode
    assert scored.costs["decode_peak_bytes"].tolist() == [5 * MIB] * 9


def test_what_is_saved_is_read_back_exactly(manifest):
    scored = score_sweep(manifest)
    again = read_scored(manifest.parent)
    for name in ("scores", "costs", "failures"):
        assert_frame_equal(getattr(again, name), getattr(scored, name), check_exact=True)


def test_a_session_called_NA_stays_a_session(tmp_path):
    manifest = write_sweep(tmp_path, {"aa": cell()}, [answers("aa", "NA", [True])], sessions=["NA"])
    score_sweep(manifest)
    assert read_scored(manifest.parent).scores["session"].tolist() == ["NA"]


def test_a_sweep_without_records_has_empty_frames(tmp_path):
    scored = score_sweep(write_sweep(tmp_path, {"aa": cell()}, []))
    assert scored.scores.empty and scored.costs.empty
    assert scored.failures["detail"].tolist() == ["2 of 2 sessions have no records"]
    assert read_scored(tmp_path / "trial").scores.empty


def test_scores_do_not_depend_on_the_order_of_the_records(tmp_path):
    sessions = [answers("aa", "s0", [True, False]), answers("aa", "s1", [False, False])]
    calm = write_sweep(tmp_path / "calm", {"aa": cell()}, sessions)
    other = write_sweep(tmp_path / "other", {"aa": cell()}, sessions[::-1])
    score_sweep(calm)
    score_sweep(other)
    assert (calm.parent / "scores.csv").read_bytes() == (other.parent / "scores.csv").read_bytes()


def test_reading_before_scoring_says_what_to_do(tmp_path):
    with pytest.raises(ScbenchError, match=r"scores\.csv; score the sweep first"):
        read_scored(tmp_path)


@pytest.mark.parametrize("name", ["sessions/src-aa.jsonl", "trial/stamps/f-aa.json", "trial/manifest.json"])
@pytest.mark.parametrize("text", ["{", '{"cells": 1}', "3"])
def test_a_broken_file_of_the_sweep_is_named(manifest, name, text):
    path = manifest.parents[1] / name
    path.write_text(text)
    with pytest.raises(ScbenchError, match=rf"{path.name} is no .*; delete it"):
        score_sweep(manifest)


def test_scores_file_is_plain_csv(manifest):
    score_sweep(manifest)
    plain = pd.read_csv(manifest.parent / "scores.csv")
    assert plain["strict"].mean() == 0.75
