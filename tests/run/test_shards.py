"""A family in shards, and one whose tries SLURM has ended: every session is there once, whatever was run before."""

import json
from pathlib import Path

import pytest

from scbench.grid.plan import plan
from scbench.grid.shard import Shard, shards
from scbench.record import Outcome
from scbench.results.scores import score_sweep
from scbench.results.store import read_cell
from scbench.run.family import run_family
from scbench.run.local import run_here, write_sessions
from scbench.run.progress import NullProgress

CONF = Path(__file__).parents[2] / "conf"
SMALL = ["task=retr_kv", "task.length=300", "task.turns=2", "task.max_new_tokens=2", "engine.fidelity=none"]


@pytest.fixture
def sweep(folder, tmp_path):
    """Plan a family of two cells, in a results folder of the test's own."""

    def planned(*overrides, into="results"):
        results = f"results={tmp_path / into}"
        manifest = plan([f"model.path={folder}", results, *SMALL, "mode=multi_turn,multi_request", *overrides], CONF)
        manifest.write()
        for source in manifest.sources:
            write_sessions(manifest, source)
        return manifest

    return planned


def files(manifest):
    """The sessions of each record file, by the files' names; the same in both cells."""
    found = [
        {
            path.name: [json.loads(line)["session"] for line in path.read_text().splitlines()[::2]]
            for path in (manifest.root / "cells" / cell).glob("*.jsonl")
        }
        for cell in manifest.cells
    ]
    assert found[0] == found[1]
    return found[0]


def refuse(cell):
    raise AssertionError("a model is loaded, though there is nothing to compute")


def names(*numbers):
    return [f"s0-000{number}" for number in numbers]


def test_shards_compute_their_own_sessions_and_merge(sweep):
    manifest = sweep("task.limit=5", "run.shards=2")
    (family,) = manifest.families
    summary = run_family(manifest.path, family.id, NullProgress(), shard=Shard(1, 2))
    assert files(manifest) == {"1-of-2.jsonl": names(1, 3)}
    assert all(counts == {"sessions": 2, "computed": 2, "outcomes": {"ok": 4}} for counts in summary.cells.values())
    run_here(manifest, NullProgress())
    assert files(manifest) == {"0-of-2.jsonl": names(0, 2, 4), "1-of-2.jsonl": names(1, 3)}
    assert [path.exists() for path in manifest.stamps()] == [True, True]
    assert len(score_sweep(manifest.path).scores) == 2 * 5 * 2


def test_shards_give_what_one_job_gives(sweep):
    whole, cut = sweep("task.limit=3"), sweep("task.limit=3", "run.shards=3", into="cut")
    run_here(whole, NullProgress())
    run_here(cut, NullProgress())
    for cell in whole.cells:
        one, other = (
            [(r.session, r.turn, r.prediction, r.output_ids, r.kept) for r in read_cell(manifest.root, cell)]
            for manifest in (whole, cut)
        )
        assert one == other


def test_another_cut_and_more_sessions_lose_and_double_nothing(sweep):
    run_here(sweep("task.limit=3"), NullProgress())
    later = sweep("task.limit=5", "run.shards=2")
    run_here(later, NullProgress())
    assert files(later) == {"0.jsonl": names(0, 1, 2), "0-of-2.jsonl": names(4), "1-of-2.jsonl": names(3)}
    last = sweep("task.limit=5", "run.shards=4")
    (family,) = last.families
    for shard in shards(4):
        summary = run_family(last.path, family.id, NullProgress(), refuse, shard)
        assert all(counts["computed"] == 0 for counts in summary.cells.values())
    assert len(score_sweep(last.path).scores) == 2 * 5 * 2


def test_there_are_no_more_shards_than_sessions(sweep):
    (family,) = sweep("task.limit=3", "run.shards=8").families
    assert family.shards == 3


def test_failed_sessions_of_another_cut_are_repeated_when_asked(sweep, monkeypatch):
    manifest = sweep("task.limit=2", "run.tries=1")
    ended(manifest, monkeypatch, "OUT_OF_MEMORY")
    run_family(manifest.path, manifest.families[0].id, NullProgress(), refuse)
    run_here(sweep("task.limit=2", "run.shards=2"), NullProgress())
    assert files(manifest) == {"0.jsonl": names(0, 1), "0-of-2.jsonl": [], "1-of-2.jsonl": []}
    run_here(sweep("task.limit=2", "run.shards=2", "run.retry=true"), NullProgress())
    assert files(manifest) == {"0.jsonl": [], "0-of-2.jsonl": names(0), "1-of-2.jsonl": names(1)}


def ended(manifest, monkeypatch, *states):
    """A family whose earlier tries SLURM has ended so; this is the next one."""
    path = manifest.tries(manifest.families[0].id)
    path.parent.mkdir(parents=True)
    tries = [{"job": str(n), "host": "n1", "began": "", "state": state} for n, state in enumerate(states)]
    path.write_text(json.dumps(tries))
    monkeypatch.setenv("SLURM_JOB_ID", "77")


def test_after_the_last_try_what_is_left_has_its_outcome_and_a_row(sweep, monkeypatch):
    some = sweep("task.limit=1")
    run_here(some, NullProgress())
    manifest = sweep("task.limit=3", "run.tries=2")
    ended(manifest, monkeypatch, "TIMEOUT", "CANCELLED", "OUT_OF_MEMORY")
    summary = run_family(manifest.path, manifest.families[0].id, NullProgress(), refuse)
    for cell, counts in summary.cells.items():
        assert counts == {"sessions": 3, "computed": 2, "outcomes": {"ok": 2, "oom": 4}}
        left = [record for record in read_cell(manifest.root, cell) if record.session != names(0)[0]]
        assert [(record.turn, record.outcome, record.turns) for record in left] == [
            (0, Outcome.OOM, 2),
            (1, Outcome.OOM, 2),
        ] * 2
        assert {record.detail for record in left} == {"SLURM ended all 2 tries: job 0 TIMEOUT, job 2 OUT_OF_MEMORY"}
        assert {record.gold for record in left} != {""}
    assert not manifest.tries(manifest.families[0].id).exists()
    failures = score_sweep(manifest.path).failures
    assert list(failures.outcome) == ["oom"] * 8


def test_before_the_last_try_it_is_tried_again(sweep, monkeypatch):
    manifest = sweep("task.limit=1", "run.tries=2")
    ended(manifest, monkeypatch, "TIMEOUT", "CANCELLED", "NODE_FAIL")
    summary = run_family(manifest.path, manifest.families[0].id, NullProgress())
    assert all(counts["outcomes"] == {"ok": 2} for counts in summary.cells.values())
