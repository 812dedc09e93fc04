"""A scored sweep as one archive."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import scbench
from scbench.config.files import ROOT
from scbench.errors import ScbenchError
from scbench.grid.manifest import Manifest
from scbench.results.scores import sweep_records
from scbench.results.session_hashes import hashed
from scbench.results.store import encode
from scbench.results.sweep import Sweep, read_sweep
from scbench.share.archive import DESCRIPTION, FORMAT, LOCK, SUFFIXES, write_archive
from scbench.share.derived import PROVENANCE, Counts, count, described, provenance, to_json
from scbench.share.drawn import drawn_files, drawn_with
from scbench.share.verify import verified

SCORED = ("scores.csv", "costs.csv", "failures.csv")


@dataclass(frozen=True)
class Packed:
    """Where the archive is, and what names its content."""

    path: Path
    digest: str


def pack(manifest_path: Path, output: Path | None = None) -> Packed:
    """Write `<sweep>.zip` (or `output`) with all that a sweep's numbers follow from, and verify it.

    Records are those of the sweep's own sessions. The sessions themselves are named by their hashes: their texts are
    large, and often not one's own to give away; so the report and the figures are made anew, without them. Raises
    `ScbenchError` where the sweep has no scores or tables, and where they are not those of its records.
    """
    manifest, sweep = Manifest.read(manifest_path.resolve()), read_sweep(manifest_path)
    for name in (*SCORED, "tables"):
        if not (sweep.folder / name).exists():
            raise ScbenchError(
                f"{sweep.folder} has no {name}; run the sweep to its end (`scbench sweep`) and pack it then"
            )
    path = output or sweep.root / f"{sweep.name}.zip"
    draft = path.with_name(f".{path.name}")
    try:
        write_archive(draft, _files(manifest, sweep, {}))
        with verified(draft) as (unpacked, verdict):
            if not verdict.holds:
                raise ScbenchError(
                    f"{sweep.folder}: {verdict.differences[0]} ({len(verdict.differences)} such lines in all); "
                    "its tables are not those of its records: run the sweep again, then pack it"
                )
            drawn = drawn_files(unpacked)
    finally:
        draft.unlink(missing_ok=True)
    return Packed(path, write_archive(path, _files(manifest, sweep, drawn)))


def _files(manifest: Manifest, sweep: Sweep, drawn: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Every file of the archive with its content, by name; `drawn` are the report and the figures."""
    counts = Counts()
    for cell in sorted(sweep.cells):
        records = sweep_records(sweep, cell)
        count(counts, records)
        yield described(manifest, cell)
        yield f"cells/{cell}/0.jsonl", b"".join(map(encode, records))
    for source in sorted(manifest.sources):
        path = manifest.sessions(source)
        if path.exists():
            yield f"sessions/{source}.jsonl", hashed(path)
    yield f"{sweep.name}/manifest.json", to_json(manifest.to_dict())
    for path in sorted(_made(manifest)):
        yield f"{sweep.name}/{path.relative_to(manifest.folder).as_posix()}", path.read_bytes()
    yield from ((f"{sweep.name}/{name}", content) for name, content in drawn.items())
    yield PROVENANCE, provenance(counts)
    if (ROOT / LOCK).is_file():
        yield LOCK, (ROOT / LOCK).read_bytes()
    made = {"format": FORMAT, "sweep": sweep.name, "scbench": scbench.__version__, "drawn_with": drawn_with()}
    yield DESCRIPTION, to_json(made)


def _made(manifest: Manifest) -> Iterator[Path]:
    yield from (manifest.folder / name for name in SCORED)
    yield from (path for path in manifest.stamps() if path.exists())
    tables = (manifest.folder / "tables").rglob("*")
    yield from (path for path in tables if path.is_file() and path.suffix in SUFFIXES and not _hidden(path))


def _hidden(path: Path) -> bool:
    return path.name.startswith(".")
