"""Tries: what SLURM ended counts, what the job or its user ended does not."""

import json
from pathlib import Path

import pytest

from scbench.record import Outcome
from scbench.run import slurm
from scbench.run.tries import Try, begun, failure, noted


class Killed(BaseException):
    """Stands for the end of a process that can do nothing more."""


def killed(path: Path, monkeypatch: pytest.MonkeyPatch, job: str) -> None:
    """A try of this SLURM job that dies: its note stays as it was while it ran."""
    monkeypatch.setenv("SLURM_JOB_ID", job)
    trial = noted(path, STATES.__getitem__)
    trial.__enter__()
    note = path.read_bytes()
    trial.__exit__(Killed, Killed(), None)  # what no killed process does: it would take the note back
    path.write_bytes(note)


STATES = {"1": "OUT_OF_MEMORY", "2": "CANCELLED", "3": "TIMEOUT", "4": "NODE_FAIL", "5": "TIMEOUT"}


def test_each_killed_try_is_known_to_the_next_with_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tries/f.json"
    for job in ("1", "2", "3"):
        killed(path, monkeypatch, job)
    monkeypatch.setenv("SLURM_JOB_ID", "4")
    with noted(path, STATES.__getitem__) as tries:
        assert [(one.job, one.state) for one in tries] == [("1", "OUT_OF_MEMORY"), ("2", "CANCELLED"), ("3", "TIMEOUT")]
        assert [one["state"] for one in json.loads(path.read_text())] == ["OUT_OF_MEMORY", "CANCELLED", "TIMEOUT", None]
    assert not path.exists()


def test_a_try_that_ends_by_itself_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f.json"
    killed(path, monkeypatch, "1")
    monkeypatch.setenv("SLURM_JOB_ID", "2")
    with pytest.raises(KeyboardInterrupt), noted(path, STATES.__getitem__):
        raise KeyboardInterrupt
    assert [one["job"] for one in json.loads(path.read_text())] == ["1"]


def test_a_job_that_slurm_started_again_is_not_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f.json"
    killed(path, monkeypatch, "1")
    with noted(path, {}.__getitem__) as tries:
        assert [one.state for one in tries] == ["REQUEUED"]
        assert failure(tries, 1) is None


def test_outside_slurm_nothing_is_noted_or_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f.json"
    killed(path, monkeypatch, "1")
    monkeypatch.delenv("SLURM_JOB_ID")
    with noted(path, {}.__getitem__) as tries:
        assert tries == ()
    assert not path.exists()


@pytest.mark.parametrize(
    ("states", "allowed", "outcome"),
    [
        (["OUT_OF_MEMORY", "OUT_OF_MEMORY"], 3, None),
        (["OUT_OF_MEMORY", "TIMEOUT", "OUT_OF_MEMORY"], 3, Outcome.OOM),
        (["OUT_OF_MEMORY", "TIMEOUT", "TIMEOUT"], 3, Outcome.TIMEOUT),
        (["TIMEOUT", "CANCELLED", "NODE_FAIL", "PREEMPTED", "REQUEUED"], 2, None),
        (["FAILED"], 1, Outcome.ERROR),
        (["UNKNOWN"], 1, Outcome.ERROR),
    ],
)
def test_the_outcome_is_that_of_the_last_try_that_counts(
    states: list[str], allowed: int, outcome: Outcome | None
) -> None:
    found = failure([Try(str(number), "n1", "", state) for number, state in enumerate(states)], allowed)
    assert (None if found is None else found.outcome) == outcome
    if found is not None:
        assert f"job {len(states) - 1} {states[-1]}" in found.detail


def answers(folder: Path, monkeypatch: pytest.MonkeyPatch, scontrol: str, sacct: str) -> None:
    """SLURM's commands, as programs that print these texts; one that prints nothing fails."""
    for name, text in (("scontrol", scontrol), ("sacct", sacct)):
        program = folder / name
        program.write_text("#!/bin/sh\n" + (f"cat <<'E'\n{text}\nE\n" if text else "exit 1\n"))
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


@pytest.mark.parametrize(
    ("scontrol", "sacct", "state"),
    [
        ("JobId=7 JobName=x JobState=TIMEOUT Reason=TimeLimit ExitCode=0:15", "", "TIMEOUT"),
        ("", "CANCELLED by 1000\nCANCELLED", "CANCELLED"),
        ("JobId=7 JobState=FAILED", "FAILED\nFAILED\nOUT_OF_MEMORY", "OUT_OF_MEMORY"),
        ("JobId=7 JobState=FAILED StdOut={log}", "", "OUT_OF_MEMORY"),
        ("JobId=7 JobState=FAILED StdOut=/nowhere", "", "FAILED"),
        ("JobId=7 JobState=TIMEOUT StdOut={log}", "", "TIMEOUT"),
        ("", "", "UNKNOWN"),
    ],
)
def test_the_state_of_a_job_is_what_slurm_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scontrol: str, sacct: str, state: str
) -> None:
    log = tmp_path / "7.log"
    log.write_text("slurmstepd: error: Detected 1 oom-kill event(s) in StepId=7.0\n")
    answers(tmp_path, monkeypatch, scontrol.format(log=log), sacct)
    assert slurm.state_of("7") == state


@pytest.mark.parametrize(
    ("queue", "option"),
    [
        ("12|{here}|rule_run_wildcards_ab_0\n13|{here}|rule_run_wildcards_cd_0", "--dependency=afterany:12"),
        ("12|{here}|rule_run_wildcards_ab_0\n15|{here}|rule_run_wildcards_ab_0", "--dependency=afterany:12:15"),
        ("12|/elsewhere|rule_run_wildcards_ab_0", ""),
        ("", ""),
    ],
)
def test_a_job_waits_for_its_own_that_an_earlier_snakemake_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, queue: str, option: str
) -> None:
    answers(tmp_path, monkeypatch, "", "")
    (tmp_path / "squeue").write_text(f"#!/bin/sh\ncat <<'E'\n{queue.format(here=tmp_path)}\nE\n")
    (tmp_path / "squeue").chmod(0o755)
    slurm._left.cache_clear()
    assert slurm.waiting_for("rule_run_wildcards_ab_0", tmp_path) == option
    (tmp_path / "squeue").unlink()
    assert slurm.waiting_for("rule_run_wildcards_ab_0", tmp_path) == option, "asked once for all jobs"
    slurm._left.cache_clear()


def test_the_last_try_closes_what_one_try_has_shown() -> None:
    killed, cancelled = Try("1", "n1", "", "OUT_OF_MEMORY"), Try("2", "n1", "", "CANCELLED")
    assert failure([killed], 3) is None
    found = failure([killed], 3, last=True)
    assert found is not None and found.outcome == Outcome.OOM
    assert failure([cancelled], 3, last=True) is None and failure([], 3, last=True) is None


def test_notes_of_earlier_tries_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "note.json"
    assert begun(path) == 0
    killed(path, monkeypatch, "1")
    assert begun(path) == 1  # SLURM was not asked yet how it ended
