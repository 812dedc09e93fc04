"""Planning: from overrides to a manifest on disk, composed anew only when something it was made from has changed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scbench.config.cell import Cell, Choice, RunConfig
from scbench.config.compose import WHOLE_SWEEP, CommandLine, compose, read, results_folder
from scbench.config.files import layers
from scbench.config.tree import open_tree
from scbench.errors import ScbenchError
from scbench.grid.cells import canonical, digest, family_id, named, source_id
from scbench.grid.forecast import demand
from scbench.grid.hashes import Hashes
from scbench.grid.manifest import Family, Manifest, Source
from scbench.models.files import local_config


def ensure(overrides: Sequence[str], conf: Path) -> Manifest:
    """The manifest of these overrides: read if it is up to date, else composed and written."""
    inputs = _inputs(overrides, conf)
    path = locate(overrides, conf)
    stored = _stored(path)
    if stored is not None and stored.inputs == inputs and _is_fresh(stored):
        return stored
    manifest = plan(overrides, conf)
    manifest.write()
    return manifest


def locate(overrides: Sequence[str], conf: Path) -> Path:
    """Where the manifest of these overrides lies, composed or not."""
    with open_tree(conf) as tree:
        line = read(overrides, tree)
        return results_folder(tree, line) / sweep_name(line) / "manifest.json"


def sweep_name(line: CommandLine) -> str:
    """The experiment's name, then a hash of the further overrides that choose cells; `sweep-<hash>` without one."""
    further = sorted(item.text for key, item in line.assignments.items() if key not in WHOLE_SWEEP)
    if line.experiment and not further:
        return line.experiment
    return f"{line.experiment or 'sweep'}-{digest(further, 8)}"


def plan(overrides: Sequence[str], conf: Path) -> Manifest:
    """Compose the overrides and lay out their cells, families and sources; writes nothing."""
    composition = compose(overrides, conf)
    path = locate(overrides, conf)
    hashes = Hashes()
    cells = named((cell, hashes.of(cell)) for cell in map(canonical, composition.cells))
    sources, families = _grouped(cells, hashes, composition.run)
    return Manifest(
        root=path.parent.parent,
        sweep=path.parent.name,
        overrides=tuple(overrides),
        inputs=_inputs(overrides, conf),
        run=composition.run,
        cells=cells,
        hashes={name: hashes.of(cell) for name, cell in cells.items()},
        families=families,
        sources=sources,
    )


def _grouped(cells: Mapping[str, Cell], hashes: Hashes, run: RunConfig) -> tuple[dict[str, Source], tuple[Family, ...]]:
    sources: dict[str, Source] = {}
    members: dict[tuple[str, str], list[str]] = {}
    for name, cell in cells.items():
        source = source_id(cell, hashes.of_sessions(cell))
        sources.setdefault(source, Source(source, cell.task, cell.model))
        members.setdefault((family_id(cell, run.bundle), source), []).append(name)
    configs = Configs()
    families = tuple(
        _family(family, source, names, [cells[name] for name in names], configs, run.shards)
        for (family, source), names in members.items()
    )
    return sources, families


class Configs:
    """The configurations of models, each read once."""

    def __init__(self) -> None:
        self._known: dict[str, Mapping[str, Any] | None] = {}

    def of(self, model: Choice) -> Mapping[str, Any] | None:
        """The model's `config.json`; None if it is not known on this machine."""
        key = repr(model)
        if key not in self._known:
            self._known[key] = local_config(model.build())
        return self._known[key]


def _family(
    name: str, source: str, names: Sequence[str], cells: Sequence[Cell], configs: Configs, wanted: int
) -> Family:
    sizes = demand(cells, configs.of(cells[0].model))
    most = cells[0].task.options.get("limit") if sizes is None else sizes.work.sessions
    return Family(name, source, tuple(names), sizes, wanted if most is None else min(wanted, most))


def _inputs(overrides: Sequence[str], conf: Path) -> str:
    """A hash of the overrides, of every configuration file and of the package's sources."""
    sha = hashlib.sha256(repr(tuple(overrides)).encode())
    package = Path(__file__).parents[1]
    for folder, pattern in (*((layer, "*.yaml") for layer in layers(conf)), (package, "*.py")):
        for file in sorted(folder.rglob(pattern)):
            sha.update(str(file.relative_to(folder)).encode() + b"\0" + file.read_bytes() + b"\0")
    return sha.hexdigest()[:16]


def _stored(path: Path) -> Manifest | None:
    if not path.exists():
        return None
    try:
        return Manifest.read(path)
    except ScbenchError:  # another version's, or damaged: it is only a plan, and is made anew
        return None


def _is_fresh(manifest: Manifest) -> bool:
    """Whether models, data and classes from outside the package are still what the manifest was made from."""
    hashes = Hashes()
    return all(hashes.of(cell) == manifest.hashes[name] for name, cell in manifest.cells.items())
