"""Where the configuration lies and what it offers, read without Hydra (so that `scbench list` is quick).

A `conf/` in the current folder adds to the one that comes with scbench, file by file, and its files win; with a
`config.yaml` of its own it is a whole configuration and stands alone.
"""

from __future__ import annotations

import os
from pathlib import Path

from scbench.errors import ScbenchError

# Holds Snakefile, workflow/, conf/, profiles/ and envs/: the root of a clone, to which `project/` has links, or
# `project/` itself in an installed wheel, where they are copies.
ROOT = (Path(__file__).resolve().parents[1] / "project" / "Snakefile").resolve().parent
AXES = ("model", "method", "task", "mode", "engine")
GROUPS = (*AXES, "experiment")
MAIN = "config.yaml"


def find_conf() -> Path:
    """The configuration folder: `$SCBENCH_CONF`, else `./conf` where it has a choice of an axis, else scbench's own.

    Raises `ScbenchError` where `$SCBENCH_CONF` names no such folder.
    """
    named = os.environ.get("SCBENCH_CONF")
    if named and not _is_conf(Path(named)):
        raise ScbenchError(
            f"SCBENCH_CONF={named}: has neither {MAIN} nor one of the folders {', '.join(GROUPS)} with YAML files"
        )
    folder = Path(named) if named else Path.cwd() / "conf"
    return folder.resolve() if _is_conf(folder) else ROOT / "conf"


def _is_conf(folder: Path) -> bool:
    return (folder / MAIN).is_file() or any(next((folder / group).glob("*.yaml"), None) for group in GROUPS)


def layers(conf: Path) -> tuple[Path, ...]:
    """The folders in which a configuration's files are looked for, the first one that has it wins."""
    own = ROOT / "conf"
    return (conf,) if (conf / MAIN).is_file() or conf.resolve() == own.resolve() else (conf, own)


def find(conf: Path, name: str) -> Path:
    """The file of that name; where none is there, where it would be first."""
    candidates = [layer / name for layer in layers(conf)]
    return next((file for file in candidates if file.is_file()), candidates[0])


def names(conf: Path, group: str) -> tuple[str, ...]:
    """The choices of a group, sorted."""
    return tuple(sorted({file.stem for layer in layers(conf) for file in (layer / group).glob("*.yaml")}))


def describe(conf: Path, group: str, name: str) -> str:
    """The first comment line of a choice's file (Hydra's own `# @package` left out), or an empty text."""
    for line in find(conf, f"{group}/{name}.yaml").read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and "@package" not in line:
            return line.lstrip("# ").rstrip()
        if line.strip() and not line.startswith("#"):
            break
    return ""
