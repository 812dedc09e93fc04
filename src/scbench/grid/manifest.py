"""The manifest: a planned sweep with its families and sources, as one file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from scbench.config.cell import Cell, Choice, RunConfig
from scbench.errors import ScbenchError
from scbench.grid.demand import Demand
from scbench.grid.estimate import Shape, Work
from scbench.grid.shard import WHOLE, Shard, shards
from scbench.results.files import write_json_atomic


@dataclass(frozen=True)
class Source:
    """What one file of sessions is made from: a configured task, and the model whose tokenizer counts its tokens."""

    id: str
    task: Choice
    model: Choice


@dataclass(frozen=True)
class Family:
    """Cells that share one prefill: the unit of execution. `cells` are fingerprints, `source` is a Source's id.

    `demand` are the sizes of its work, None where they are not known; it is cut into `shards` jobs.
    """

    id: str
    source: str
    cells: tuple[str, ...]
    demand: Demand | None = None
    shards: int = 1


@dataclass(frozen=True)
class Manifest:
    """A planned sweep: everything that its jobs need to know, so that no job composes anything again.

    `root` is the results folder, `cells` and `hashes` are by fingerprint, `inputs` is the hash of what the plan
    was made from. Paths below `root` are the business of this class alone.
    """

    root: Path
    sweep: str
    overrides: tuple[str, ...]
    inputs: str
    run: RunConfig
    cells: Mapping[str, Cell]
    hashes: Mapping[str, Mapping[str, Any]]
    families: tuple[Family, ...]
    sources: Mapping[str, Source]

    @property
    def folder(self) -> Path:
        """The sweep's own folder: manifest, stamps, scores, tables, report."""
        return self.root / self.sweep

    @property
    def path(self) -> Path:
        """Where the manifest lies."""
        return self.folder / "manifest.json"

    def sessions(self, source: str) -> Path:
        """The file of a source's sessions."""
        return self.root / "sessions" / f"{source}.jsonl"

    def stamp(self, family: str, shard: Shard = WHOLE) -> Path:
        """The file that says that a family, or a shard of it, has run, and with which outcomes."""
        return self.folder / "stamps" / f"{family}{'' if shard.of == 1 else f'.{shard}'}.json"

    def tries(self, family: str, shard: Shard = WHOLE) -> Path:
        """The file that says how the jobs of a family, or of a shard of it, have ended that did not finish."""
        return self.folder / "tries" / self.stamp(family, shard).name

    def stamps(self, *families: Family) -> list[Path]:
        """The stamps of all jobs of these families, or of all families."""
        return [self.stamp(one.id, shard) for one in families or self.families for shard in shards(one.shards)]

    def engine(self, family: Family) -> Choice:
        """The engine that answers a family."""
        return self.cells[family.cells[0]].engine

    def log(self, family: str, shard: Shard = WHOLE) -> Path:
        """The file that an engine which is not our own prints to while it answers a family, or a shard of it."""
        return self.folder / "logs" / self.stamp(family, shard).with_suffix(".log").name

    def family(self, name: str) -> Family:
        """The family of that id; raises `ScbenchError` if there is none."""
        for family in self.families:
            if family.id == name:
                return family
        raise ScbenchError(f"{self.path} has no family {name}; known: {', '.join(f.id for f in self.families)}")

    def write(self) -> None:
        """Write the file in one step: a reader sees the old manifest or the new one."""
        write_json_atomic(self.path, self.to_dict())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a manifest from `<results>/<sweep>/manifest.json`; raises `ScbenchError` if it cannot be read."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            return cls.from_dict(data, path.parent.parent)
        except OSError as error:
            raise ScbenchError(f"{path} cannot be read ({error.strerror}); `scbench sweep` writes it") from error
        except (ValueError, TypeError, KeyError) as error:
            raise ScbenchError(f"{path} is no manifest of this version; delete it and plan again") from error

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, without the place where it lies."""
        return {
            "sweep": self.sweep,
            "overrides": list(self.overrides),
            "inputs_hash": self.inputs,
            "run": asdict(self.run),
            "cells": {name: cell.to_dict() for name, cell in self.cells.items()},
            "hashes": self.hashes,
            "families": [asdict(family) for family in self.families],
            "sources": {
                name: {"id": name, "task": source.task.to_dict(), "model": source.model.to_dict()}
                for name, source in self.sources.items()
            },
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], root: Path) -> Self:
        """The inverse of `to_dict`; `root` is the results folder."""
        return cls(
            root=root,
            sweep=data["sweep"],
            overrides=tuple(data["overrides"]),
            inputs=data["inputs_hash"],
            run=RunConfig(**data["run"]),
            cells={name: Cell.from_dict(cell) for name, cell in data["cells"].items()},
            hashes=data["hashes"],
            families=tuple(_family(item) for item in data["families"]),
            sources={
                name: Source(name, Choice(**item["task"]), Choice(**item["model"]))
                for name, item in data["sources"].items()
            },
        )


def _family(item: Mapping[str, Any]) -> Family:
    """A family; those that earlier versions planned have no sizes, and one job."""
    sizes = item.get("demand")
    if sizes is not None:
        sizes = Demand(**{**sizes, "shape": Shape(**sizes["shape"]), "work": Work(**sizes["work"])})
    return Family(item["id"], item["source"], tuple(item["cells"]), sizes, item.get("shards", 1))
