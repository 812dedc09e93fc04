"""Files that are whole or absent: what a reader may find after a kill at any instant."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import orjson

from scbench.errors import ScbenchError


def write_bytes_atomic(path: Path, content: bytes) -> None:
    """Write `content` to `path` so that a reader sees the old file or the new one, never a part.

    The bytes go to a temporary file in the same folder (made if missing), are synced to the disk, and take
    the place of `path` in one step. Raises `ScbenchError` naming the path when the disk refuses, and leaves
    no temporary file behind then.
    """
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    except OSError as error:
        raise ScbenchError(f"cannot write {path}: {error.strerror}; free space or choose another folder") from error


def write_text_atomic(path: Path, text: str) -> None:
    """`write_bytes_atomic` for text, in UTF-8."""
    write_bytes_atomic(path, text.encode("utf-8"))


def write_json_atomic(path: Path, data: Any) -> None:
    """`write_bytes_atomic` for JSON-plain data: indented, UTF-8, keys in the order given."""
    write_text_atomic(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def parse_json(line: bytes) -> Any:
    """The value of a JSON text, quickly; raises `ValueError` for what is none.

    What Python's own reader takes beyond the standard (a lone surrogate, which models do write) it reads itself.
    """
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return json.loads(line)


def sync_folder(folder: Path) -> None:
    """Make names that were created or replaced in `folder` survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
