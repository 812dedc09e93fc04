"""Whether the gold answers in an archive's records are those of the sessions that are here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scbench.grid.manifest import Manifest
from scbench.results.scores import sweep_records
from scbench.results.session_hashes import fingerprints
from scbench.results.sweep import read_sweep

Gold = Mapping[str, tuple[str, ...]]  # by a session's hash: the answers of its turns, as JSON


def gold_answers(manifest_path: Path) -> Gold:
    """The gold answers of a sweep's own sessions; those of which only the hash is here have none."""
    manifest = Manifest.read(manifest_path.resolve())
    known: dict[str, tuple[str, ...]] = {}
    for source in manifest.sources:
        path = manifest.sessions(source)
        hashes = fingerprints(path)
        if hashes:
            with path.open(encoding="utf-8") as lines:
                rows = [row for row in map(json.loads, lines) if "turns" in row]
            known |= {hashes[row["id"]]: tuple(_plain(turn["answer"]) for turn in row["turns"]) for row in rows}
    return known


def other_gold(manifest_path: Path, gold: Gold) -> dict[str, str]:
    """The cells of which a record's gold answer is not that of the session here, or of which none is here; with why."""
    manifest, sweep = Manifest.read(manifest_path), read_sweep(manifest_path)
    reasons: dict[str, str] = {}
    for family in manifest.families:
        hashes = fingerprints(manifest.sessions(family.source))
        for cell in family.cells:
            for record in sweep_records(sweep, cell):
                answers = gold.get(hashes[record.session], ())
                if record.turn >= len(answers):
                    reasons[cell] = "the gold answers of its sessions are not here"
                elif _plain(record.gold) != answers[record.turn]:
                    reasons[cell] = "gold answers in its records are not those of the sessions here"
    return reasons


def _plain(answer: Any) -> str:
    return json.dumps(answer, sort_keys=True)
