"""The files of an archive that say what its records and manifest say, in other words: made the same every time."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from scbench.grid.manifest import Manifest
from scbench.record import Record
from scbench.results.scores import sweep_records
from scbench.results.sweep import Sweep

PROVENANCE = "provenance.json"
Counts = Counter[tuple[str, str]]


def derived_files(manifest: Manifest, sweep: Sweep) -> Iterator[tuple[str, bytes]]:
    """Every cell's description and the provenance of all records, by name."""
    counts = Counts()
    for cell in sorted(sweep.cells):
        count(counts, sweep_records(sweep, cell))
        yield described(manifest, cell)
    yield PROVENANCE, provenance(counts)


def described(manifest: Manifest, cell: str) -> tuple[str, bytes]:
    """The file that has all that a cell's numbers depend on, by name."""
    data = {**manifest.cells[cell].to_dict(), "hashes": manifest.hashes.get(cell, {})}
    return f"cells/{cell}/cell.json", to_json(data)


def count(counts: Counts, records: list[Record]) -> None:
    """Add the turns of each value of the records' provenance."""
    for record in records:
        counts.update(record.provenance.items())


def provenance(counts: Counts) -> bytes:
    """Every value of the provenance with its number of turns."""
    return to_json([[name, value, turns] for (name, value), turns in sorted(counts.items())])


def to_json(data: Any) -> bytes:
    """Plain data as all archives have it."""
    return (json.dumps(data, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")
