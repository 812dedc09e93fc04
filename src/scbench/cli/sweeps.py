"""Which sweep a command is about."""

from __future__ import annotations

from pathlib import Path

from scbench.errors import ScbenchError
from scbench.nearest import hint

MANIFEST = "manifest.json"
RESULTS = Path("results")


def find_sweep(sweep: str) -> Path:
    """The manifest of a sweep, given by its name below `results/`, its folder, or its manifest.

    Raises `ScbenchError` where there is none, with the nearest name.
    """
    given = Path(sweep)
    candidates = (given, given / MANIFEST, RESULTS / given / MANIFEST)
    for path in candidates:
        if path.name == MANIFEST and path.is_file():
            return path
    known = sorted(path.parent.name for path in RESULTS.glob(f"*/{MANIFEST}"))
    if not known:
        raise ScbenchError(
            f"there is no sweep '{sweep}', and none in {RESULTS}/; give the folder that has its {MANIFEST}"
        )
    raise ScbenchError(f"there is no sweep '{sweep}'; {hint(sweep, known)}")
