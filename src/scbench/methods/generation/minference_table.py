"""MInference's tables: which pattern each query head of each layer follows, as data.

A table is a JSON file: `patterns`, each its kind and sizes; `heads`, per layer the number of each head's pattern (null
for a head, or a whole layer, without one); `model` and `source` say what it was made for and by what. The format of the
authors' repository is read too: per layer a mapping of heads to `[kind, vertical, slash, score]`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scbench.errors import ScbenchError

VERTICAL_SLASH, STREAM, BLOCKS = "vertical_and_slash", "stream_llm", "block_sparse"
SIZES = {VERTICAL_SLASH: ("vertical", "slash"), STREAM: ("sinks", "window"), BLOCKS: ("blocks",)}
PUBLISHED = Path(__file__).with_name("minference_tables")
TOP = 100  # blocks, which the authors' kernel takes whatever their table says


@dataclass(frozen=True)
class Pattern:
    """What a head reads: columns and diagonals, the first and the nearest keys, or the best blocks; and how many."""

    kind: str
    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.kind not in SIZES:
            raise ValueError(f"there is no kind '{self.kind}', only {', '.join(SIZES)}")
        whole = all(isinstance(size, int) and not isinstance(size, bool) and size >= 0 for size in self.sizes)
        if len(self.sizes) != len(SIZES[self.kind]) or not whole or self.sizes[-1] < 1:
            wanted = ", ".join(SIZES[self.kind])
            raise ValueError(f"{self.kind} needs {wanted}: whole numbers, the last at least 1, not {list(self.sizes)}")

    def covers(self, tokens: int, block: int) -> bool:
        """Whether every row of a base of so many tokens reads every key."""
        if self.kind == VERTICAL_SLASH:
            return max(self.sizes) >= tokens
        return sum(self.sizes) * (block if self.kind == BLOCKS else 1) >= tokens


FALLBACK = Pattern(VERTICAL_SLASH, (1000, 6096))  # the authors' for a head that is not in their table


@dataclass(frozen=True)
class Table:
    """The pattern of every head of every layer; None where the table has none. `name` is for messages."""

    name: str
    layers: tuple[tuple[Pattern | None, ...], ...]

    @property
    def heads(self) -> int:
        """How many query heads a layer has."""
        return len(self.layers[0])

    @property
    def missing(self) -> int:
        """How many heads have no pattern of their own."""
        return sum(pattern is None for layer in self.layers for pattern in layer)

    @property
    def hash(self) -> str:
        """What names the table's content, whatever its form and origin: 16 hexadecimal digits."""
        plain = [[pattern and [pattern.kind, *pattern.sizes] for pattern in layer] for layer in self.layers]
        return hashlib.sha256(json.dumps(plain).encode()).hexdigest()[:16]

    def check(self, layers: int, heads: int) -> None:
        """Raise `ScbenchError` if this is not a table for a model of so many layers and query heads."""
        if (layers, heads) != (len(self.layers), self.heads):
            raise ScbenchError(
                f"minference: table={self.name} is for {len(self.layers)} layers of {self.heads} query heads, the "
                f"model has {layers} of {heads}; `scbench search-minference` makes one for it"
            )

    def of(self, layer: int) -> tuple[Pattern, ...]:
        """The patterns of a layer's heads."""
        return tuple(FALLBACK if pattern is None else pattern for pattern in self.layers[layer])

    def covers(self, tokens: int, block: int) -> bool:
        """Whether every head reads everything of a base of so many tokens."""
        distinct = {pattern for layer in range(len(self.layers)) for pattern in self.of(layer)}
        return all(pattern.covers(tokens, block) for pattern in distinct)


def published() -> list[str]:
    """The names of the tables that come with the package."""
    return sorted(file.stem for file in PUBLISHED.glob("*.json"))


def read(name: str) -> Table:
    """The published table of this name, or that of a file; raises `ScbenchError`, one line, if there is none."""
    names = published()
    path = PUBLISHED / f"{name}.json" if name in names else Path(name)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        layers = _authors(data) if isinstance(data, list) else _own(data)
    except OSError as error:
        known = ", ".join(names)
        raise ScbenchError(f"minference: table={name}: {error.strerror}; give a file, or one of {known}") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        reason = str(error) or type(error).__name__
        raise ScbenchError(f"minference: table={name} is no table of patterns ({reason})") from error
    return Table(name, layers)


def text(
    layers: Iterable[Sequence[Pattern | None] | None],
    model: str,
    source: Mapping[str, Any],
    **numbers: Sequence[Sequence[float] | None],
) -> str:
    """A table as the text of its file; `numbers` are said of every head beside its pattern. One line per layer."""
    patterns: dict[Pattern, int] = {}

    def number(pattern: Pattern | None) -> int | None:
        return None if pattern is None else patterns.setdefault(pattern, len(patterns))

    heads = [None if layer is None else [number(pattern) for pattern in layer] for layer in layers]
    listed = [[pattern.kind, *pattern.sizes] for pattern in patterns]
    columns: dict[str, Sequence[Any]] = {"patterns": listed, "heads": heads, **numbers}
    parts = [f' "model": {json.dumps(model)}', f' "source": {json.dumps(dict(source))}']
    for key, rows in columns.items():
        lines = ",\n  ".join(json.dumps(row, separators=(",", ":")) for row in rows)
        parts.append(f' "{key}": [\n  {lines}\n ]')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _own(data: Any) -> tuple[tuple[Pattern | None, ...], ...]:
    patterns = [_pattern(*item) for item in data["patterns"]]
    numbers = data["heads"]
    widths = {len(row) for row in numbers if row is not None}
    if len(widths) != 1 or not min(widths):
        raise ValueError("its layers must have heads, and all as many")

    def pattern(number: int | None, layer: int) -> Pattern | None:
        if number is not None and number not in range(len(patterns)):
            raise ValueError(f"layer {layer} names pattern {number}, and there are {len(patterns)}")
        return None if number is None else patterns[number]

    empty = [None] * min(widths)
    return tuple(tuple(pattern(number, layer) for number in row or empty) for layer, row in enumerate(numbers))


def _authors(data: Any) -> tuple[tuple[Pattern | None, ...], ...]:
    heads = 1 + max(int(head) for layer in data for head in layer)
    found = [{int(head): _authors_pattern(*item) for head, item in layer.items()} for layer in data]
    return tuple(tuple(layer.get(head) for head in range(heads)) for layer in found)


def _authors_pattern(kind: str, vertical: int, slash: int, *score: float) -> Pattern:
    return Pattern(kind, (TOP,) if kind == BLOCKS else (vertical, slash))


def _pattern(kind: str, *sizes: int) -> Pattern:
    return Pattern(kind, sizes)
