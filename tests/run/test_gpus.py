"""Jobs on one machine never share a GPU, and never wait for the dead."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scbench.errors import ScbenchError
from scbench.run import gpus

HOLDER = """
import sys, time
from pathlib import Path
from scbench.run.gpus import own
with own(int(sys.argv[1]), lambda line: None, Path(sys.argv[2])) as taken:
    print(*taken, flush=True)
    time.sleep(600)
"""


class GaveUpError(Exception):
    pass


def give_up(line: str) -> None:
    raise GaveUpError(line)


@pytest.fixture(autouse=True)
def three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,2,GPU-1f/2")
    monkeypatch.setattr(gpus, "POLL_SECONDS", 0.05)


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ("0", ("0",)),
        ("3,1", ("3", "1")),
        (" 0, 1 ", ("0", "1")),
        ("GPU-8932f937,MIG-GPU-8932f937/1/2", ("GPU-8932f937", "MIG-GPU-8932f937/1/2")),
        ("", ()),
        ("-1", ()),
        ("NoDevFiles", ()),
        ("0,-1,1", ("0",)),
    ],
)
def test_visible_gpus_are_those_that_cuda_would_see(listed: str, expected: tuple[str, ...]) -> None:
    assert gpus.visible({"CUDA_VISIBLE_DEVICES": listed}) == expected


def test_without_a_list_all_gpus_of_the_machine_are_visible(tmp_path: Path) -> None:
    assert gpus.visible({}, tmp_path) == ()
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    assert gpus.visible({}, tmp_path) == ("0", "1")


def test_a_job_sees_its_own_gpus_alone_and_gives_them_back(tmp_path: Path) -> None:
    for _ in range(2):
        with gpus.own(2, give_up, tmp_path) as taken:
            assert taken == ("0", "2")
            assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,2"
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,2,GPU-1f/2"


@pytest.mark.parametrize("count", [0, 4])
def test_nothing_is_taken_where_none_is_wanted_or_there_are_too_few(count: int, tmp_path: Path) -> None:
    with gpus.own(count, give_up, tmp_path) as taken:
        assert taken == ()
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,2,GPU-1f/2"
    assert not list(tmp_path.iterdir())


def test_another_process_has_other_gpus_until_it_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, "2", str(tmp_path)], stdout=subprocess.PIPE, text=True) as job:
        assert job.stdout is not None and job.stdout.readline() == "0 2\n"
        with gpus.own(1, give_up, tmp_path) as taken:
            assert taken == ("GPU-1f/2",)
        with (
            pytest.raises(GaveUpError, match=r"^waiting for 2 of the GPUs 0, 2, GPU-1f/2, 1 of which are free$"),
            gpus.own(2, give_up, tmp_path),
        ):
            pass
        with gpus.own(1, give_up, tmp_path) as taken:  # who waited in vain held nothing
            assert taken == ("GPU-1f/2",)
        with gpus.own(2, lambda _: job.send_signal(signal.SIGKILL), tmp_path) as taken:
            assert taken == ("0", "2")


def test_an_allocation_of_slurm_has_locks_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On one machine two allocations may both call theirs 0."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("SLURM_JOB_ID", "11")
    with gpus.own(1, give_up) as one:
        monkeypatch.setenv("SLURM_JOB_ID", "12")
        with gpus.own(1, give_up) as two:
            assert one == two == ("0",)
    user = tmp_path / f"scbench-gpus-{os.getuid()}"
    assert sorted(path.name for path in user.iterdir()) == ["11", "12"]


def test_a_folder_that_cannot_be_had_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(ScbenchError, match=r"^cannot lock .*/0\.lock: Not a directory; let TMPDIR be"),
        gpus.own(1, give_up, tmp_path / "file" / "below"),
    ):
        pass


@pytest.mark.parametrize(
    ("cores", "count", "machine", "expected"),
    [(8, 1, 2, 4), (8, 2, 4, 4), (3, 1, 2, 1), (1, 1, 4, 1), (8, 1, 1, 8), (8, 0, 4, 8), (8, 1, 0, 8)],
)
def test_jobs_that_have_gpus_share_the_cores(cores: int, count: int, machine: int, expected: int) -> None:
    assert gpus.share(cores, count, machine) == expected
