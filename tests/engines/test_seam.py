"""An engine in a worker of its own: it answers as our own does, and its failures are outcomes."""

import dataclasses
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from family_runs import records, run

from scbench.engines.asking import cacheable_tokens
from scbench.errors import ScbenchError
from scbench.record import Outcome, Record

BOTH = "mode=multi_turn,multi_request"
ANSWERED = ("prediction", "gold", "prompt_tokens", "output_tokens", "stopped", "prompt_ids", "output_ids", "outcome")


@pytest.mark.parametrize("history", ["gold", "generated"])
def test_its_answers_are_those_of_our_own_engine(sweep, history):
    given = (BOTH, f"history={history}", "run.save_ids=true")
    own, toy = sweep(*given), sweep(*given, "engine=toy")
    run(own)
    summaries = run(toy)
    assert all(summary["outcomes"] == {"ok": 6} for summary in summaries.values())
    expected, found = records(own), records(toy)
    assert set(found) == {"multi_turn", "multi_request"}
    for mode, lines in found.items():
        assert len(lines) == 6
        for one, other in zip(lines, expected[mode], strict=True):
            assert [getattr(one, field) for field in ANSWERED] == [getattr(other, field) for field in ANSWERED]
    assert len({record.output_ids for lines in found.values() for record in lines}) > 3


def test_a_record_says_what_the_engine_told_and_nothing_else(sweep):
    manifest = sweep("engine=toy", "task.limit=1", "run.save_ids=true")
    run(manifest)
    (lines,) = records(manifest).values()
    for turn, record in enumerate(lines):
        assert record.provenance["engine"] == "toy"
        assert record.provenance["transformers"] == "toy"
        assert record.times["served"].width == 3
        assert record.serving.cached is record.serving.wait is record.serving.rate is None
        before = [line.prompt_ids for line in lines[:turn]]
        shared = max((_common(ids, record.prompt_ids) for ids in before), default=0)
        assert record.serving.cacheable == shared // 16 * 16  # the last prompt is longer than what it shares
        assert record.fidelity is None and record.kv_bytes is None and record.gold_kept is None
        assert record.kept == () and record.peak_bytes == {} and record.kernels == ()
        assert Record.from_dict(record.to_dict()) == dataclasses.replace(record)
    assert lines[2].serving.cacheable > lines[1].serving.cacheable > 0
    log = manifest.log(manifest.families[0].id).read_text()
    assert "print what they like" in log


def test_tokens_that_a_cache_of_blocks_could_have():
    assert cacheable_tokens((1, 2, 3, 4, 5, 6, 7), [], 2) == 0
    assert cacheable_tokens((1, 2, 3, 4, 5, 6, 7), [(1, 2, 9), (1, 2, 3, 4, 5, 9)], 2) == 4
    assert cacheable_tokens((1, 2, 3, 4), [(1, 2, 3, 4, 5)], 2) == 2, "the last token is computed"


@pytest.mark.parametrize(
    ("fault", "outcome", "said"),
    [
        ("kill", Outcome.ERROR, "the worker of engine=toy was killed by signal 9; its log is "),
        ("exit", Outcome.ERROR, "the worker of engine=toy ended with exit code 3; its log is "),
        ("error", Outcome.ERROR, "the worker of engine=toy failed: RuntimeError: it does not work; its log is "),
        ("memory", Outcome.OOM, "RuntimeError: DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_a_failure_costs_one_session_of_one_cell(sweep, tmp_path, fault, outcome, said):
    manifest = sweep("engine=toy", BOTH, f"engine.fault={fault}", f"engine.mark={tmp_path / 'mark'}")
    run(manifest)
    lines = [record for lines in records(manifest).values() for record in lines]
    failed = [record for record in lines if record.outcome is not Outcome.OK]
    assert len(lines) == 12
    assert len({(record.cell, record.session) for record in failed}) == 1 and len(failed) == 3
    assert {record.outcome for record in failed} == {outcome}
    assert all(said in record.detail and "\n" not in record.detail for record in failed)
    retried = sweep("engine=toy", BOTH, f"engine.fault={fault}", f"engine.mark={tmp_path / 'mark'}", "run.retry=true")
    run(retried)
    assert {record.outcome for lines in records(retried).values() for record in lines} == {Outcome.OK}


def test_a_time_out_ends_the_worker_and_what_it_started(sweep, tmp_path):
    mark = tmp_path / "mark"
    manifest = sweep("engine=toy", "engine.fault=hang", f"engine.mark={mark}", "engine.timeout=3", "task.limit=3")
    run(manifest)
    (lines,) = records(manifest).values()
    assert [record.outcome for record in lines] == [Outcome.OK] * 3 + [Outcome.TIMEOUT] * 3 + [Outcome.OK] * 3
    assert lines[3].detail == "TimeoutError: engine.timeout=3.0 s is over"
    assert not any(map(_alive, map(int, mark.read_text().split())))


def test_too_few_replies_are_an_error(sweep):
    manifest = sweep("engine=toy", "engine.fault=few", "task.limit=1")
    run(manifest)
    (lines,) = records(manifest).values()
    assert {record.outcome for record in lines} == {Outcome.ERROR}
    assert "the worker of engine=toy did not reply to every prompt once" in lines[0].detail


def test_an_engine_that_does_not_start_fails_its_cells_with_one_line(sweep):
    (summary,) = run(sweep("engine=toy", "engine.fault=refuse")).values()
    assert summary["failed"].startswith("the worker of engine=toy failed: ValueError: no such model; its log is ")


def test_a_missing_interpreter_is_named_before_anything_starts(sweep, tmp_path):
    (summary,) = run(sweep("engine=toy", f"engine.python={tmp_path / 'none'}")).values()
    assert summary["failed"] == (
        f"engine.python={tmp_path / 'none'}: there is no such interpreter; the tests' own interpreter has it"
    )


def test_methods_that_it_does_not_have_are_refused_when_the_sweep_is_planned(sweep):
    with pytest.raises(ScbenchError, match="engine=toy does not run method=snapkv; use engine=own for it"):
        sweep("engine=toy", "method=dense,snapkv")
    with pytest.raises(ScbenchError, match="engine=toy does not run method=dense_repeat"):
        sweep("engine=toy", "method=dense_repeat")


def test_the_interpreter_is_no_part_of_a_fingerprint_but_its_packages_are(sweep, tmp_path):
    (first,) = sweep("engine=toy").cells
    copied = tmp_path / "venv" / "bin" / "python"
    copied.parent.mkdir(parents=True)
    copied.symlink_to(sys.executable)
    packages = tmp_path / "venv" / "lib" / "python3.11" / "site-packages"
    source = next(Path(sys.executable).parent.parent.glob("lib/python3*/site-packages/transformers-*.dist-info"))
    (packages / source.name).mkdir(parents=True)
    metadata = (source / "METADATA").read_text()
    (packages / source.name / "METADATA").write_text(metadata)
    (same,) = sweep("engine=toy", f"engine.python={copied}").cells
    assert same == first
    (packages / source.name / "METADATA").write_text(re.sub(r"(?m)^Version: .*", "Version: 1.2.3", metadata, count=1))
    (other,) = sweep("engine=toy", f"engine.python={copied}").cells
    assert other != first
    manifest = sweep("engine=toy", f"engine.python={copied}")
    assert manifest.hashes[other]["engine"] == {"engine": "toy", "revision": "1", "transformers": "1.2.3"}


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_worker_ends_with_its_parent(sweep, tmp_path, sent):
    mark = tmp_path / "mark"
    manifest = sweep("engine=toy", "engine.fault=hang", "engine.at=0", f"engine.mark={mark}")
    script = textwrap.dedent(
        f"""
        import sys
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from scbench.run.family import run_family
        from scbench.run.progress import NullProgress
        run_family(Path({str(manifest.path)!r}), {manifest.families[0].id!r}, NullProgress())
        """
    )
    job = subprocess.Popen([sys.executable, "-c", script])
    _wait(lambda: mark.is_file() and len(mark.read_text().split()) == 2)
    worker, child = map(int, mark.read_text().split())
    assert _alive(worker) and _alive(child)
    job.send_signal(sent)
    assert job.wait(timeout=30) != 0
    _wait(lambda: not _alive(worker) and not _alive(child))


def _common(one, other):
    return next(place for place in range(len(one), -1, -1) if one[:place] == other[:place])


def _wait(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def _alive(pid):
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"
