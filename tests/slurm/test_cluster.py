"""A whole sweep through sbatch, on a SLURM of two nodes on this machine, and what may befall its jobs.

`make test-slurm` (`run.sh`) installs and starts it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from scbench.record import Outcome, Record
from scbench.results.store import read_cell

ROOT = Path(__file__).parents[2]
PATIENCE = 300  # seconds
pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900)]

# What the tests change in the profile, besides its first block: they do not wait as long as a real cluster's user.
QUICK = "slurm-init-seconds-before-status-checks: 2\nslurm-keep-successful-logs: true\n"
SWEEP = (
    "# @package _global_\n# The tests'\nsweep:\n  model: tiny_llama\n  method: dense,troubled\n  task: retr_kv\n"
    "  mode: multi_request\n  task.length: 256\n  task.limit: 4\n  task.turns: 1\n  task.max_new_tokens: 4\n"
    "  engine.fidelity: none\n  run.mem_mb: 1200\n  run.runtime: 20\n"
)
METHOD = "# The tests'\n_target_: troubled.Troubled\nsinks: 4\nwindow: 32\nprotect: true\n"


@pytest.fixture(scope="module", autouse=True)
def cluster() -> None:
    """Skip where `run.sh` has not started one."""
    if "SCBENCH_TEST_CLUSTER" not in os.environ:
        pytest.skip("no cluster of the tests' own is up: `make test-slurm` starts one, as root on Debian")


class Project:
    """A clone with the site's adaptations, an experiment and a method of the tests."""

    def __init__(self, root: Path, *adapted: tuple[str, str]) -> None:
        self.root = root
        for name in ("Snakefile", "workflow", "profiles", "conf", "src"):
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, root / name)
        (root / "slurm").symlink_to("profiles/slurm")
        profile = root / "profiles/slurm/config.yaml"
        text = profile.read_text()
        for old, new in adapted:
            assert old in text
            text = text.replace(old, new)
        profile.write_text(text + QUICK)
        shutil.copy(Path(__file__).with_name("troubled.py"), root)
        (root / "conf/method/troubled.yaml").write_text(METHOD)
        (root / "conf/experiment/trial.yaml").write_text(SWEEP)
        self.trouble("0 0 none")

    def trouble(self, text: str) -> None:
        (self.root / "trouble").write_text(text)

    def start(self, *arguments: str, config: Sequence[str] = ("experiment=trial",)) -> subprocess.Popen[str]:
        environment = {
            **os.environ,
            "PYTHONPATH": f"{self.root / 'src'}:{self.root}",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "MLFLOW_TRACKING_URI": "",
            "OMP_WAIT_POLICY": "PASSIVE",
        }
        return subprocess.Popen(
            ["snakemake", *arguments, "--config", *config],
            cwd=self.root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, config: Sequence[str] = ("experiment=trial",), code: int = 0) -> str:
        with self.start(*arguments, config=config) as process:
            printed, _ = process.communicate(timeout=600)
        assert process.returncode == code, printed
        return printed

    def scored(self, *overrides: str, code: int = 0) -> str:
        """Run the trial through SLURM up to its scores."""
        return self.run("--profile", "slurm", "score", config=self.config(*overrides), code=code)

    @staticmethod
    def config(*overrides: str) -> tuple[str, ...]:
        return ("experiment=trial", f"overrides={' '.join(overrides)}") if overrides else ("experiment=trial",)

    def acted(self) -> list[list[str]]:
        """Job and GPUs of each session for which the method has acted so far."""
        notes = self.root / "acted"
        return [line.split() for line in notes.read_text().splitlines()] if notes.exists() else []

    def wait_for(self, sessions: int) -> str:
        """The SLURM job that has begun the last of so many sessions."""
        for _ in range(10 * PATIENCE):
            if len(self.acted()) >= sessions:
                return self.acted()[-1][0]
            time.sleep(0.1)
        raise TimeoutError(f"{len(self.acted())} of {sessions} sessions after {PATIENCE} s")

    def records(self) -> dict[str, list[Record]]:
        """The records of every cell by its method's name; a session that is there twice is an error."""
        found = {}
        for folder in (self.root / "results/cells").iterdir():
            records = read_cell(self.root / "results", folder.name)
            found["troubled" if "troubled" in (folder / "cell.json").read_text() else "dense"] = records
        return found

    def outcomes(self, method: str) -> list[str]:
        return [record.outcome.value for record in self.records()[method]]


def submitted(printed: str) -> list[str]:
    """The ids of the SLURM jobs, in their order."""
    return re.findall(r"has been submitted with SLURM jobid (\d+)", printed)


def shown(job: str) -> dict[str, str]:
    """What SLURM knows of a job."""
    said = subprocess.run(["scontrol", "show", "job", "-o", job], capture_output=True, text=True, check=True).stdout
    return dict(word.split("=", 1) for word in said.split() if "=" in word)


COMPLETE = [Outcome.OK.value] * 4


def test_smoke_through_sbatch_makes_the_table_of_a_local_run(tmp_path: Path) -> None:
    project = Project(tmp_path)
    printed = project.run("--profile", "slurm", config=("experiment=smoke", "overrides=run.runtime=20"))
    assert len(submitted(printed)) == 1
    assert len(re.findall(r"^\s*localrule ", printed, re.MULTILINE)) == 7, "all but the family"
    project.run("tables", config=("experiment=smoke", "overrides=results=local"))
    tables = {file.name: file.read_text() for file in (tmp_path / "results/smoke/tables").glob("[!c]*.csv")}
    assert tables and tables == {
        file.name: file.read_text() for file in (tmp_path / "local/smoke/tables").glob("[!c]*.csv")
    }
    scores = [(tmp_path / folder / "smoke/scores.csv").read_text() for folder in ("results", "local")]
    assert scores[0] == scores[1]
    assert len(scores[0].splitlines()) == 1 + 4 * 2


def test_a_job_that_fails_once_comes_back_larger(tmp_path: Path) -> None:
    project = Project(tmp_path, ("device: cpu", "device: h100"), ("short: 15", "short: 0"))
    project.trouble("3 3 die")
    printed = project.scored()
    first, second = submitted(printed)
    assert [shown(job)["JobState"] for job in (first, second)] == ["FAILED", "COMPLETED"]
    assert [shown(job)["MinMemoryNode"] for job in (first, second)] == ["1200M", "2400M"]
    assert [shown(job)["TimeLimit"] for job in (first, second)] == ["00:20:00", "00:40:00"]
    log = next(path for path in re.findall(r"\S+\.log", printed) if f"/{first}.log" in path)
    assert "session" in Path(log).read_text(), "the line of the failure names the job's log"
    assert project.records().keys() == {"dense", "troubled"}
    assert project.outcomes("troubled") == project.outcomes("dense") == COMPLETE
    assert project.acted() == [[first, "0"]] * 3 + [[second, "0"]] * 2, "two sessions were kept; one GPU is seen"


def test_a_cancelled_job_comes_back_and_does_the_rest(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.trouble("2 2 hang")
    with project.start("--profile", "slurm", "score") as process:
        job = project.wait_for(2)
        subprocess.run(["scancel", job], check=True)
        printed, _ = process.communicate(timeout=600)
    assert process.returncode == 0, printed
    assert "CANCELLED" in printed
    assert Counter(job for job, _ in project.acted()) == {job: 2, submitted(printed)[1]: 3}
    assert project.outcomes("troubled") == project.outcomes("dense") == COMPLETE
    assert not list((tmp_path / "results/trial/tries").iterdir()), "what the user did is not held against the job"


def test_a_job_out_of_time_comes_back_and_after_the_last_try_that_is_the_outcome(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.run("score", config=project.config("task.limit=2"))  # here, since a minute may not suffice for it
    project.trouble("3 99 hang")
    first, second = submitted(project.scored("run.runtime=1", "run.tries=1"))
    assert [shown(job)["JobState"] for job in (first, second)] == ["TIMEOUT", "COMPLETED"]
    assert project.outcomes("troubled") == ["ok", "ok", "timeout", "timeout"]
    assert f"job {first} TIMEOUT" in project.records()["troubled"][2].detail
    failures = (tmp_path / "results/trial/failures.csv").read_text().splitlines()
    assert len([line for line in failures if "timeout" in line]) >= 2


def test_a_job_out_of_memory_comes_back_and_after_the_last_try_that_is_the_outcome(tmp_path: Path) -> None:
    if "task/cgroup" not in Path("/etc/slurm/slurm.conf").read_text():
        pytest.skip("no version 1 of the kernel's control groups here: nothing limits a job's memory")
    project = Project(tmp_path)
    project.trouble("4 99 eat")
    first, second, third = submitted(project.scored("run.tries=2"))
    assert [job for job, _ in project.acted()] == [first] * 4 + [second], "one more session with each try, and no third"
    assert shown(third)["JobState"] == "COMPLETED"
    assert project.outcomes("troubled") == ["ok", "ok", "ok", "oom"]
    detail = project.records()["troubled"][3].detail
    assert f"job {first} OUT_OF_MEMORY, job {second} OUT_OF_MEMORY" in detail


def test_a_killed_snakemake_is_started_again_without_duplicate_work(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.trouble("2 3 wait")
    with project.start("--profile", "slurm", "score") as process:
        job = project.wait_for(2)
        process.kill()
        process.communicate()
    printed = project.scored()
    (second,) = submitted(printed)
    assert project.acted() == [[job, "none"]] * 4, "the job that was left alone did it all"
    assert [shown(one)["JobState"] for one in (job, second)] == ["COMPLETED", "COMPLETED"]
    assert project.outcomes("troubled") == project.outcomes("dense") == COMPLETE


def test_shards_are_jobs_that_merge_and_short_ones_share_an_allocation(tmp_path: Path) -> None:
    project = Project(tmp_path, ("short: 15", "short: 30"))
    printed = project.scored("run.shards=3")
    assert len(submitted(printed)) == 1, "three shards, one after the other in one allocation"
    assert shown(submitted(printed)[0])["TimeLimit"] == "01:00:00"
    assert shown(submitted(printed)[0])["MinMemoryNode"] == "1200M"
    assert project.outcomes("troubled") == project.outcomes("dense") == COMPLETE
    stamps = sorted(path.name.split(".", 1)[1] for path in (tmp_path / "results").glob("trial*/stamps/*"))
    assert stamps == ["0-of-3.json", "1-of-3.json", "2-of-3.json"]
    project.scored("run.shards=2", "task.limit=6")
    assert project.outcomes("troubled") == project.outcomes("dense") == [Outcome.OK.value] * 6
    assert len(project.acted()) == 6, "another cut, two more sessions: what was there is neither lost nor done again"
