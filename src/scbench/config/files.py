"""Where the configuration lies and what it offers, read without Hydra (so that `scbench list` is quick)."""

from __future__ import annotations

import os
from pathlib import Path

from scbench.errors import ScbenchError

ROOT = Path(__file__).resolve().parents[3]  # of the checkout that holds this package
AXES = ("model", "method", "task", "mode", "engine")


def find_conf() -> Path:
    """The configuration folder: `$SCBENCH_CONF`, else `./conf`, else that of the checkout that holds this package."""
    named = os.environ.get("SCBENCH_CONF")
    candidates = [Path(named)] if named else [Path.cwd() / "conf", ROOT / "conf"]
    for folder in candidates:
        if (folder / "config.yaml").is_file():
            return folder.resolve()
    looked = " nor ".join(str(folder) for folder in candidates)
    raise ScbenchError(
        f"no config.yaml in {looked}: run in the repository's root, or set SCBENCH_CONF to a conf/ folder"
    )


def names(conf: Path, group: str) -> tuple[str, ...]:
    """The choices of a group, sorted."""
    return tuple(sorted(file.stem for file in (conf / group).glob("*.yaml")))


def describe(conf: Path, group: str, name: str) -> str:
    """The first comment line of a choice's file (Hydra's own `# @package` left out), or an empty text."""
    for line in (conf / group / f"{name}.yaml").read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and "@package" not in line:
            return line.lstrip("# ").rstrip()
        if line.strip() and not line.startswith("#"):
            break
    return ""
