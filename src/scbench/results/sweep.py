"""A sweep as its readers see it: its cells, their sessions, and the cells that failed whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scbench.config.cell import Cell
from scbench.errors import ScbenchError
from scbench.grid.manifest import Manifest
from scbench.results.files import parse_json


@dataclass(frozen=True)
class Sweep:
    """What a manifest and its stamps say; mappings are by fingerprint, in the manifest's order.

    `folder` is `results/<sweep>`, `root` is `results`. `sessions` are the ids that the sweep asks for, in
    the order of its sessions file; none where the source is not there or could not be read. `files` are these
    sessions files. `failed` holds the reasons of the cells that have no records at all because something they need is
    missing.
    """

    name: str
    folder: Path
    cells: Mapping[str, Cell]
    sessions: Mapping[str, tuple[str, ...]]
    files: Mapping[str, Path]
    failed: Mapping[str, str]

    @property
    def root(self) -> Path:
        """The results folder, which all sweeps share."""
        return self.folder.parent


def read_sweep(manifest_path: Path) -> Sweep:
    """Read `results/<sweep>/manifest.json`, and the sessions files and stamps that are there.

    Raises `ScbenchError` when one of them cannot be read.
    """
    manifest = Manifest.read(manifest_path.resolve())
    ids = {source: _session_ids(manifest.sessions(source)) for source in manifest.sources}
    source_of = {cell: family.source for family in manifest.families for cell in family.cells}
    failed = {cell: reason for stamp in manifest.stamps() for cell, reason in _failures(stamp).items()}
    return Sweep(
        name=manifest.sweep,
        folder=manifest.folder,
        cells=manifest.cells,
        sessions={cell: ids[source_of[cell]] for cell in manifest.cells},
        files={cell: manifest.sessions(source_of[cell]) for cell in manifest.cells},
        failed={cell: failed[cell] for cell in manifest.cells if cell in failed},
    )


def _session_ids(path: Path) -> tuple[str, ...]:
    """The ids in a sessions file; a file that only says why its data cannot be read has none."""
    if not path.exists():
        return ()
    with path.open("rb") as lines:
        try:
            return tuple(row["id"] for row in map(parse_json, lines) if "error" not in row)
        except (ValueError, KeyError, TypeError) as error:
            raise ScbenchError(f"{path} is no sessions file ({error}); delete it and run this again") from error


def _failures(stamp: Path) -> Mapping[str, str]:
    """The cells that a family's stamp calls failed, with the reason; none before the family has run."""
    if not stamp.exists():
        return {}
    try:
        cells = json.loads(stamp.read_text(encoding="utf-8"))["cells"]
        return {cell: summary["failed"] for cell, summary in cells.items() if "failed" in summary}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ScbenchError(f"{stamp} is no stamp ({error}); delete it and run this again") from error
