"""Claims: `conf/findings.yaml`, where statistic, direction and threshold stand before anything is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import inf
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from scbench.errors import ScbenchError
from scbench.nearest import hint

FILE = "findings.yaml"
STATISTICS = {
    "level": "mean score",
    "difference": "difference over all turns",
    "first": "difference at turn 1",
    "later": "difference at later turns, minus the same at turn 1",
    "memory": "bytes stored, less the peer's, in % of the peer's",
    "recall_by_step": "attention held at the last quarter of an answer's steps, minus the first quarter",
    "recall_by_turn": "attention held at later turns, minus turn 1",
}
ATTRIBUTES = ("model", "method", "budget", "task", "mode", "history", "query", "kind")


@dataclass(frozen=True)
class Bounds:
    """An interval lies within `above` … `below`, in points."""

    above: float = -inf
    below: float = inf

    def hold(self, low: float, high: float) -> bool:
        """Whether the whole interval [low, high] does."""
        return self.above < low and high < self.below

    def __str__(self) -> str:
        parts = (f"> {self.above:g}" if self.above > -inf else "", f"< {self.below:g}" if self.below < inf else "")
        return " and ".join(filter(None, parts))


@dataclass(frozen=True)
class Claim:
    """What is claimed, on which cells, by which number, and from where on it is seen or its opposite.

    `rows` says which cells, by attribute (generated contexts, not their floors, unless `kind` is asked for); each of
    them is held `beside` the cell that has these attributes instead.
    With `than`, the difference is taken again where both have these attributes instead, and taken off. All cells weigh
    the same. `statistic` is one of `STATISTICS`; a `level` and what attention holds are beside nothing unless asked.
    """

    name: str
    says: str
    source: str
    statistic: str
    rows: Mapping[str, tuple[str, ...]]
    seen: Bounds
    opposite: Bounds
    beside: Mapping[str, str] | None = None
    than: Mapping[str, str] | None = None


def read_claims(file: Path) -> tuple[Claim, ...]:
    """The claims of a file; raises `ScbenchError`, one line, for what is no claim."""
    try:
        data = OmegaConf.to_container(OmegaConf.load(file), resolve=True)
    except (OSError, YAMLError, OmegaConfBaseException) as error:
        raise ScbenchError(f"{file}: cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(data, Mapping) or not isinstance(data.get("claims"), Mapping):
        raise ScbenchError(f"{file}: must hold one mapping, 'claims:', of claims by name")
    return tuple(_claim(file, str(name), claim) for name, claim in data["claims"].items())


def _claim(file: Path, name: str, data: Any) -> Claim:
    where = f"{file}: claim {name}"
    known = [field.name for field in fields(Claim) if field.name != "name"]
    if not isinstance(data, Mapping):
        raise ScbenchError(f"{where}: must be a mapping of {', '.join(known)}")
    for key in data:
        if key not in known:
            raise ScbenchError(f"{where}: {key}: {hint(str(key), known)}")
    for key in ("says", "source", "statistic", "rows", "seen", "opposite"):
        if key not in data:
            raise ScbenchError(f"{where}: lacks '{key}'")
    if data["statistic"] not in STATISTICS:
        raise ScbenchError(f"{where}: statistic {data['statistic']}: {hint(str(data['statistic']), STATISTICS)}")
    if data["statistic"] == "memory" and data.get("beside") is None:
        raise ScbenchError(f"{where}: statistic memory needs 'beside': bytes are held against a peer's")
    rows = {key: _texts(value) for key, value in ({"kind": "gen"} | _attributes(where, data["rows"])).items()}
    return Claim(
        name=name,
        says=str(data["says"]),
        source=str(data["source"]),
        statistic=str(data["statistic"]),
        rows=rows,
        seen=_bounds(where, data["seen"]),
        opposite=_bounds(where, data["opposite"]),
        beside=_instead(where, data.get("beside")),
        than=_instead(where, data.get("than")),
    )


def _attributes(where: str, data: Any) -> dict[str, Any]:
    if not isinstance(data, Mapping):
        raise ScbenchError(f"{where}: must say cells as a mapping of attributes: {', '.join(ATTRIBUTES)}")
    for key in data:
        if key not in ATTRIBUTES:
            raise ScbenchError(f"{where}: attribute {key}: {hint(str(key), ATTRIBUTES)}")
    return {str(key): value for key, value in data.items()}


def _instead(where: str, data: Any) -> dict[str, str] | None:
    return None if data is None else {key: _text(value) for key, value in _attributes(where, data).items()}


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(map(_text, value)) if isinstance(value, list) else (_text(value),)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _bounds(where: str, data: Any) -> Bounds:
    if not isinstance(data, Mapping) or not data or not data.keys() <= {"above", "below"}:
        raise ScbenchError(f"{where}: 'seen' and 'opposite' are mappings of 'above', 'below', or both")
    try:
        return Bounds(**{str(key): float(value) for key, value in data.items()})
    except (TypeError, ValueError) as error:
        raise ScbenchError(f"{where}: {error}") from error
