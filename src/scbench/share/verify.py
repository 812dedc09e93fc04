"""Whether every number of an archive follows from its records."""

from __future__ import annotations

import csv
import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import scbench
from scbench.config.cell import Cell, Choice
from scbench.errors import ScbenchError
from scbench.grid.cells import fingerprint
from scbench.grid.manifest import Manifest
from scbench.record import Record
from scbench.results.files import parse_json
from scbench.results.scores import score_sweep, sweep_records
from scbench.results.store import encode, read_cell
from scbench.results.sweep import read_sweep
from scbench.results.tables import tables_sweep
from scbench.share.archive import DESCRIPTION, FORMAT, LOCK, ArchiveRefused, Unpacked, unpack
from scbench.share.derived import PROVENANCE, derived_files
from scbench.share.differences import csv_differences
from scbench.share.drawn import FIGURES, REPORT, drawn_files, drawn_with

_NAME = re.compile(r"[\w+=,@-][\w.+=,@-]*", re.ASCII)
_CODE = re.compile(r"scbench\.(tasks|models|methods|modes|engines?)(\.\w+)+", re.ASCII)
_DESCRIPTION = re.compile(r"cells/[^/]+/cell\.json")
_SHAPE = (TypeError, ValueError, KeyError, AttributeError, IndexError, OverflowError, RecursionError)
_FILES = (OSError, csv.Error)  # a folder where a table should be, a field that no table has
SESSIONS = "sessions/"  # hashes of what is not there
_TEXTS = (".md", ".tex", ".html")


@dataclass(frozen=True)
class Verdict:
    """What verifying an archive gave: one line per number that does not follow from the records.

    `tables` and `records` say how much was compared and from how much it was made; `unchecked` what was not.
    """

    digest: str
    sweep: str
    tables: int
    records: int
    differences: tuple[str, ...]
    unchecked: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether every number follows."""
        return not self.differences


def verify(archive: Path) -> Verdict:
    """Score an archive's records again and make its tables anew, in a temporary folder, and compare.

    Nothing of the archive is executed. Raises `ArchiveRefused` for an archive that cannot be trusted so far: see
    `unpack`; and one whose manifest names other places, or code outside scbench.
    """
    with verified(archive, drawn=True) as (_, verdict):
        return verdict


@contextmanager
def verified(archive: Path, *, drawn: bool = False) -> Iterator[tuple[Path, Verdict]]:
    """The manifest of an archive in a temporary folder, scored and tabulated anew, with the verdict.

    With `drawn`, the report and the figures are made anew too, and compared: their bytes depend on the libraries that
    draw, so those of other versions are not checked.
    """
    with tempfile.TemporaryDirectory(prefix="scbench-") as place:
        packed = unpack(archive, Path(place) / "packed")
        again = unpack(archive, Path(place) / "again")
        _check_format(archive, again)
        manifest = _manifest(archive, again)
        folder = manifest.folder
        try:
            for path in [*folder.glob("*.csv"), *folder.glob("tables/*")]:
                path.unlink()
            records = sum(len(read_cell(manifest.root, cell)) for cell in manifest.cells)
            score_sweep(manifest.path)
            tables_sweep(manifest.path)
            before = packed.folder / manifest.sweep
            names = sorted({path.relative_to(root).as_posix() for root in (before, folder) for path in _compared(root)})
            differences = (
                *_strange(packed, manifest),
                *_misnamed(manifest),
                *_described(packed, manifest),
                *_unread(packed, manifest),
                *(line for name in names for line in _differences(before / name, folder / name, name)),
            )
            if drawn:
                differences += tuple(_misdrawn(packed, manifest))
            compared = drawn and _drawn_alike(packed)
            unchecked = (LOCK, SESSIONS) if compared else (LOCK, SESSIONS, REPORT, FIGURES)
        except ScbenchError as error:
            reason = str(error).replace(f"{again.folder}/", "")
            raise ArchiveRefused(f"{archive} is refused: {reason}") from error
        except (*_SHAPE, *_FILES) as error:
            reason = f"its records cannot be scored, or its tables not be read ({error!r:.200})"
            raise ArchiveRefused(f"{archive} is refused: {reason}") from error
        yield manifest.path, Verdict(packed.digest, manifest.sweep, len(names), records, differences, unchecked)


def _manifest(archive: Path, unpacked: Unpacked) -> Manifest:
    """The one manifest of an archive, if it names nothing outside it; it decides which files are read and written."""
    found = [name for name in unpacked.names if name.endswith("/manifest.json")]
    if len(found) != 1 or found[0].count("/") != 1:
        raise ArchiveRefused(f"{archive} is refused: it has {len(found)} manifests of a sweep, and not one")
    try:
        manifest = Manifest.read(unpacked.folder / found[0])
        names = [manifest.sweep, *manifest.cells, *manifest.sources, *(family.id for family in manifest.families)]
        names += [name for family in manifest.families for name in (family.source, *family.cells)]
        targets = {choice.target for cell in manifest.cells.values() for choice in _choices(cell)}
        bad = [name for name in names if not _NAME.fullmatch(name)]
        code = [target for target in targets if not _CODE.fullmatch(target)]
    except (ScbenchError, *_SHAPE) as error:
        raise ArchiveRefused(f"{archive} is refused: its manifest is none of this version") from error
    if bad or f"{manifest.sweep}/manifest.json" != found[0]:
        raise ArchiveRefused(
            f"{archive} is refused: its manifest names a place outside it ({(bad or found)[0]!r:.100})"
        )
    if code:
        raise ArchiveRefused(
            f"{archive} is refused: it names code outside scbench, which is not run ({code[0]!r:.100})"
        )
    return manifest


def _check_format(archive: Path, unpacked: Unpacked) -> None:
    """Raise `ArchiveRefused` unless the archive says that it is laid out as this version reads it."""
    try:
        said = json.loads((unpacked.folder / DESCRIPTION).read_text(encoding="utf-8"))
        found, version = said["format"], said["scbench"]
    except (OSError, *_SHAPE) as error:
        raise ArchiveRefused(f"{archive} is refused: it has no {DESCRIPTION} that says its format") from error
    if found != FORMAT:
        raise ArchiveRefused(
            f"{archive} is refused: its format is {found!r:.20} (of scbench {version!r:.20}), not {FORMAT}"
        )


def _drawn_alike(packed: Unpacked) -> bool:
    """Whether the libraries that drew the archive's figures are of the versions that are here."""
    said = json.loads((packed.folder / DESCRIPTION).read_text(encoding="utf-8"))
    return bool(said.get("drawn_with") == drawn_with() and said.get("scbench") == scbench.__version__)


def _misdrawn(packed: Unpacked, manifest: Manifest) -> Iterator[str]:
    """A report or figures that are not those of the records, or more of them."""
    made = {f"{manifest.sweep}/{name}": content for name, content in drawn_files(manifest.path).items()}
    there = {name for name in packed.names if name.startswith(f"{manifest.sweep}/{FIGURES}/") or name in made}
    for name in sorted(there - made.keys()):
        yield f"{name}: no figure of the sweep"
    if there and _drawn_alike(packed):
        for name in sorted(made):
            if name not in there:
                yield f"{name}: it follows from the records and is not there"
            elif (packed.folder / name).read_bytes() != made[name]:
                yield f"{name}: it is not what follows from the records"


def _strange(packed: Unpacked, manifest: Manifest) -> Iterator[str]:
    """Files that no sweep has: what stands in them follows from nothing."""
    sweep = manifest.sweep
    known = {
        *(DESCRIPTION, PROVENANCE, LOCK, f"{sweep}/manifest.json", f"{sweep}/report.html"),
        *(f"{sweep}/{name}.csv" for name in ("scores", "costs", "failures")),
        *(f"cells/{cell}/{name}" for cell in manifest.cells for name in ("0.jsonl", "cell.json")),
        *(f"sessions/{source}.jsonl" for source in manifest.sources),
        *(f"{sweep}/stamps/{family.id}.json" for family in manifest.families),
    }
    tables, figures = f"{sweep}/tables/", f"{sweep}/figures/"
    for name in sorted({*packed.names} - known):
        compared = name.startswith(tables) and name.count("/") == 2 and name.endswith((".csv", *_TEXTS))
        if not compared and not name.startswith(figures) and not _DESCRIPTION.fullmatch(name):
            yield f"{name}: no file of a packed sweep"


def _misnamed(manifest: Manifest) -> Iterator[str]:
    """Cells that are not what their names say: a name is made of all that can change a cell's numbers."""
    for name, cell in manifest.cells.items():
        made = fingerprint(cell, manifest.hashes.get(name, {}))
        if made != name:
            yield f"cells/{name}: what the manifest says of the cell has the name {made}"


def _described(packed: Unpacked, manifest: Manifest) -> Iterator[str]:
    """Descriptions of cells and provenance that are not those of the manifest and the records."""
    made = dict(derived_files(manifest, read_sweep(manifest.path)))
    there = {name for name in packed.names if name in made or _DESCRIPTION.fullmatch(name)}
    for name in sorted({*made, *there}):
        if name not in made:
            yield f"{name}: the manifest has no such cell"
        elif name not in there:
            yield f"{name}: it follows from the records and is not there"
        elif (packed.folder / name).read_bytes() != made[name]:
            yield f"{name}: its text does not follow from the manifest and the records"


def _unread(packed: Unpacked, manifest: Manifest) -> Iterator[str]:
    """Files of records that hold more than the records of the sweep's sessions, or these in another order."""
    sweep = read_sweep(manifest.path)
    for cell in manifest.cells:
        path = packed.folder / "cells" / cell / "0.jsonl"
        if path.exists() and _rewritten(path) != b"".join(map(encode, sweep_records(sweep, cell))):
            yield f"cells/{cell}/0.jsonl: it has more than the records of the sweep's sessions"


def _rewritten(path: Path) -> bytes:
    """The lines of a file of records as this version writes them: another may have had fewer fields."""
    *lines, rest = path.read_bytes().split(b"\n")
    return b"".join(encode(Record.from_dict(parse_json(line))) for line in lines) + rest


def _choices(cell: Cell) -> tuple[Choice, ...]:
    return (cell.model, *cell.methods, cell.task, cell.mode, cell.engine)


def _compared(folder: Path) -> Iterator[Path]:
    yield from folder.glob("*.csv")
    yield from (path for path in folder.glob("tables/*") if path.suffix in (".csv", *_TEXTS))


def _differences(packed: Path, made: Path, name: str) -> Iterator[str]:
    if not made.exists():
        yield f"{name}: no such table follows from the records"
    elif not packed.exists():
        yield f"{name}: it follows from the records and is not there"
    elif made.suffix == ".csv":
        yield from csv_differences(packed, made, name)
    elif packed.read_bytes() != made.read_bytes():
        yield f"{name}: its text is not that of the table"
