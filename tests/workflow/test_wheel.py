"""The wheel: what it carries, and a sweep in an empty folder where nothing of a clone is in reach."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow

SOURCES = ("pyproject.toml", "README.md", "LICENSE", "Snakefile", "workflow", "conf", "profiles", "envs", "src")
MINE = """
# @package _global_
# A user's own
sweep: {model: tiny_llama, method: "dense,narrow", task: retr_kv, mode: multi_turn, task.length: 384, task.limit: 1,
  task.turns: 2, task.max_new_tokens: 8}
"""
NARROW = "# A narrow window\n_target_: scbench.methods.compression.streaming_llm.StreamingLLM\nsinks: 4\nwindow: 60\n"


def run(*command: str | Path, cwd: Path | None = None) -> str:
    hidden = {"PYTHONPATH", "SCBENCH_CONF", "MLFLOW_TRACKING_URI"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What git has of the package, links as links."""
    clone = tmp_path_factory.mktemp("clone")
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, clone / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(ROOT / name, clone / name)
    return clone


@pytest.fixture(scope="module")
def wheel(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", folder, clone)
    (wheel,) = folder.glob("scbench-*.whl")
    return wheel


def test_a_wheel_carries_all_that_a_sweep_reads(wheel: Path) -> None:
    carried = {name for name in zipfile.ZipFile(wheel).namelist() if "dist-info" not in name}
    project = {name.removeprefix("scbench/project/") for name in carried if name.startswith("scbench/project/")}
    for folder in ("workflow", "conf", "profiles", "envs"):
        there = {path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob("*") if path.is_file()}
        assert {name for name in project if name.startswith(f"{folder}/")} == there
    assert {name for name in project if "/" not in name} == {"Snakefile"}
    package = (path for path in (ROOT / "src/scbench").rglob("*") if path.is_file() and "project" not in path.parts)
    kept = {path.relative_to(ROOT / "src").as_posix() for path in package if path.suffix != ".pyc"}
    assert {name for name in carried if not name.startswith("scbench/project/")} == kept
    assert zipfile.ZipFile(wheel).read("scbench/project/conf/config.yaml") == (ROOT / "conf/config.yaml").read_bytes()


def test_the_source_archive_makes_the_same_wheel(clone: Path, wheel: Path, tmp_path: Path) -> None:
    code = "from setuptools import build_meta as b; import sys; print(b.build_sdist(sys.argv[1]))"
    archive = tmp_path / run(sys.executable, "-c", code, tmp_path, cwd=clone).splitlines()[-1]
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", tmp_path, archive)
    (again,) = tmp_path.glob("scbench-*.whl")
    assert sorted(zipfile.ZipFile(again).namelist()) == sorted(zipfile.ZipFile(wheel).namelist())


def test_an_installed_wheel_sweeps_in_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    venv, empty = tmp_path / "venv", tmp_path / "empty"
    empty.mkdir()
    run(sys.executable, "-m", "venv", "--without-pip", venv)
    # the dependencies of this environment, but not the editable scbench, whose own .pth is not read from here
    (site,) = venv.glob("lib/python3*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    run(sys.executable, "-m", "pip", "--python", venv / "bin/python", "install", "--no-deps", "--no-index", "-q", wheel)
    where = run(venv / "bin/python", "-c", "import scbench; print(scbench.__file__)", cwd=empty)
    assert Path(where.strip()) == site / "scbench/__init__.py"
    for name, text in (("experiment/mine", MINE), ("method/narrow", NARROW)):
        file = empty / "conf" / f"{name}.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(text)
    assert "A user's own" in run(venv / "bin/scbench", "list", "experiments", cwd=empty)
    printed = run(venv / "bin/scbench", "sweep", "experiment=mine", "--", "--cores", "1", cwd=empty)
    assert "narrow" in printed
    sweep = empty / "results/mine"
    assert len((sweep / "scores.csv").read_text().splitlines()) == 1 + 2 * 2
    assert "<html" in (sweep / "report.html").read_text()
    assert f"ok  profile slurm: {site / 'scbench/project/profiles/slurm'}" in run(
        venv / "bin/scbench", "doctor", cwd=empty
    )
    assert sorted(path.name for path in empty.iterdir() if not path.name.startswith(".")) == ["conf", "results"]
