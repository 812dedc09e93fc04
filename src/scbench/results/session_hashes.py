"""What names a session by its content, so that sweeps can be compared without the texts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scbench.errors import ScbenchError

Fingerprints = Mapping[str, str]  # by session id
_NAMED = {"id", "sha256"}  # what an archive has of a session
_OWN = ("id", "place", "tokens")  # what a session is called, where this machine has it, its length for one tokenizer


def fingerprints(path: Path) -> dict[str, str]:
    """The SHA-256 of each session of a sessions file, or of an archive's, which has these alone.

    None where the file is not there or says why there are no sessions. Raises `ScbenchError` for a damaged one.
    """
    if not path.exists():
        return {}
    with path.open(encoding="utf-8") as lines:
        try:
            return {row["id"]: _of(row) for row in map(json.loads, lines) if "error" not in row}
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ScbenchError(f"{path} is no sessions file ({error}); delete it and run this again") from error


def without_texts(path: Path) -> bool:
    """Whether a sessions file is an archive's, which names sessions and does not have them."""
    with path.open(encoding="utf-8") as lines:
        try:
            return set(json.loads(next(lines, "{}"))) == _NAMED
        except (ValueError, TypeError):  # whoever reads it will say so
            return False


def hashed(path: Path) -> bytes:
    """A sessions file without its texts: ids and fingerprints, or the reason why there are no sessions."""
    with path.open(encoding="utf-8") as lines:
        first = json.loads(next(lines, "{}"))
    rows = [first] if "error" in first else [{"id": key, "sha256": value} for key, value in fingerprints(path).items()]
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _of(row: Mapping[str, Any]) -> str:
    if set(row) == _NAMED:
        return str(row["sha256"])
    content = {key: value for key, value in row.items() if key not in _OWN}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
