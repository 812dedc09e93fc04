"""Where the page's data lies: packed into the page itself, and beside it what would make the page too large."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

from scbench.errors import ScbenchError
from scbench.results.files import write_text_atomic
from scbench.results.text import visible

FOLDER = "report_answers"
IN_PAGE = 10_000_000  # characters of packed data
PAGE = 19_500_000  # bytes of the whole page


class Shelf:
    """Takes things by name, in order: into the page while there is room, else into a file of their own.

    A page that is opened from the disk may not read files, but it may run scripts: so each file is a script that hands
    its content to the page.
    """

    def __init__(self, sweep: Path, room: int = IN_PAGE) -> None:
        self._folder = sweep / FOLDER
        self._whole = self._room = room
        self.page: dict[str, str] = {}
        self.files: list[str] = []

    def put(self, name: str, data: Any) -> None:
        """Keep `data` (plain, without lone surrogates) under a name, which is a file's stem too.

        Raises `ScbenchError` for a name that is no plain word: a manifest that came from elsewhere may hold anything.
        """
        if not re.fullmatch(r"[\w-]+", name, re.ASCII):
            raise ScbenchError(f"'{visible(name)}' cannot be a cell or a source; the manifest was changed by hand")
        packed = pack(json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")))
        if len(packed) <= self._room:
            self._room -= len(packed)
            self.page[name] = packed
        else:
            write_text_atomic(self._folder / f"{name}.js", f'scbenchTake("{name}","{packed}");\n')
            self.files.append(name)

    def smaller(self, page: int) -> Shelf | None:
        """An empty one with so much less room that a page of `page` bytes becomes no larger than `PAGE`; None if it is.

        Tables and failures may take more than a page leaves them: then more answers lie beside it.
        """
        used = self._whole - self._room
        return Shelf(self._folder.parent, max(0, used - (page - PAGE))) if page > PAGE and used else None

    def sweep_out(self) -> None:
        """Delete what an earlier page left beside it and this one does not need."""
        kept = {f"{name}.js" for name in self.files}
        for path in self._folder.glob("*.js"):
            if path.name not in kept:
                path.unlink()
        if self._folder.is_dir() and not self.files:
            self._folder.rmdir()


def pack(text: str) -> str:
    """The text, compressed by gzip, in Base64: the same for the same text."""
    return base64.b64encode(gzip.compress(text.encode("utf-8"), compresslevel=6, mtime=0)).decode("ascii")
