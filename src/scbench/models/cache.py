"""The folder of what is made once on a machine, and hashes of large files that are remembered there."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path


def cache_folder() -> Path:
    """`$SCBENCH_CACHE`, else `scbench` in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("SCBENCH_CACHE") or Path(base) / "scbench")


def sha256(path: Path) -> str:
    """The hash of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remembered_sha256(path: Path) -> str:
    """The same, read again only when the file's size or time has changed: gigabytes take seconds, every time."""
    status = path.stat()
    key = hashlib.sha256(f"{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}".encode()).hexdigest()
    note = cache_folder() / "hashes" / f"{key}.json"
    if note.exists():
        return str(json.loads(note.read_text())["sha256"])
    digest = sha256(path)
    note.parent.mkdir(parents=True, exist_ok=True)
    partial = note.with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps({"sha256": digest, "path": str(path)}))
    partial.replace(note)
    return digest
