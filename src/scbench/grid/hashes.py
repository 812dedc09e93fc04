"""What a cell's numbers depend on besides its configuration: sources, data and weights, as hashes.

This is the edge of planning: it reads files, and remembers what it has read for as long as one instance lives.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from scbench.config.cell import Cell, Choice
from scbench.errors import ScbenchError
from scbench.models.model import ModelConfig, identity
from scbench.tasks.rows import find_files, find_hub


class Hashes:
    """The hashes of cells; each file is read once."""

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}

    def of(self, cell: Cell) -> dict[str, Any]:
        """All that the fingerprint of `cell` needs."""
        return {
            "engine": self._once(f"engine {json.dumps(cell.engine.to_dict())}", lambda: cell.engine.build().identity()),
            "methods": [self._method(method) for method in cell.methods],
            "contents": [self._contents(method) for method in cell.methods],
            "prompts": self._once("prompts", _prompts),
            **self.of_sessions(cell),
        }

    def of_sessions(self, cell: Cell) -> dict[str, Any]:
        """What the sessions of `cell` depend on.

        The sources of its task and of what makes sessions (reads data, makes floors); its data, or what generated
        sessions are made of; and the model, for its tokenizer.
        """
        data = cell.task.options.get("data")
        return {
            "task": self._source(cell.task.target),
            "sessions": self._source("scbench.tasks.sessions.make_sessions"),
            "data": None
            if data is None
            else self._once(f"data {data} {cell.task.name}", lambda: data_hash(data, cell.task.type.published)),
            "ingredients": self._once(f"ingredients {cell.task.target}", cell.task.type.ingredients)
            if data is None
            else None,
            "model": self._once(f"model {json.dumps(cell.model.options)}", lambda: model_identity(cell.model.build())),
        }

    def _method(self, method: Choice) -> Any:
        """Its sources, with the weights that it reads, if any."""
        source, weights = self._source(method.target), method.build().weights
        if weights is None:
            return source
        return {"source": source, "weights": self._once(f"weights {weights}", lambda: model_identity(weights))}

    def _contents(self, method: Choice) -> Any:
        """What names the files of a method, where it has any."""
        if not method.type.files:
            return {}
        return self._once(f"contents {json.dumps(method.to_dict())}", lambda: dict(method.build().contents()))

    def _source(self, target: str) -> str:
        module = target.rpartition(".")[0]
        return str(self._once(f"source {module}", lambda: source_hash(module)))

    def _once(self, key: str, compute: Callable[[], Any]) -> Any:
        if key not in self._known:
            self._known[key] = compute()
        return self._known[key]


def model_identity(model: ModelConfig) -> dict[str, str]:
    """The hashes of weights and tokenizer; a model that is not there is named, and its cells fail when they run."""
    try:
        return identity(model)
    except ScbenchError as error:
        return {"missing": str(error)}


def data_hash(data: str, published: str) -> str | dict[str, str]:
    """What names the rows of `task.data`: the SHA-256 of its files' contents, or the hub's data set and commit.

    Files are read in the order of their rows, whatever their names. Unreadable data is named by the reason.
    """
    try:
        hub = find_hub(data)
        if hub is not None:
            return {"hub": hub.repository, "revision": hub.revision}
        digest = hashlib.sha256()
        for path in find_files(data, published):
            with path.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    except (OSError, ScbenchError) as error:
        return {"missing": f"{data}: {error}"}
    return digest.hexdigest()[:16]


def source_hash(module: str) -> str:
    """The source text of a module and of what it imports, at any depth, from its own part of the package.

    That part is `scbench.methods` or `scbench.tasks`; for a class from elsewhere, its top-level package. So a helper
    that two methods share changes both. Segments, kernels and the engine are covered by ENGINE_REVISION.
    """
    names = module.split(".")
    part = ".".join(names[:2] if names[0] == "scbench" else names[:1])
    return _digest(_closure(module, part))


def _prompts() -> str:
    """The sources that turn any session into tokens."""
    names = {"scbench.tasks.session": _file("scbench.tasks.session"), "scbench.modes": _file("scbench.modes")}
    folder = Path(__file__).parents[1] / "prompts"
    names.update({f"scbench.prompts.{file.stem}": file for file in folder.glob("*.py")})
    return _digest(names)


def _digest(files: dict[str, Path | None]) -> str:
    digest = hashlib.sha256()
    for name, file in sorted(files.items()):
        if file is None:
            raise ScbenchError(f"the source of module {name} cannot be found, so its cells cannot be named")
        digest.update(name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _closure(module: str, part: str) -> dict[str, Path | None]:
    found: dict[str, Path | None] = {}
    open_ends = [module]
    while open_ends:
        name = open_ends.pop()
        if name in found:
            continue
        file = found[name] = _file(name)
        if file is not None:
            imported = (other for other in _imports(file, name) if other == part or other.startswith(f"{part}."))
            open_ends += [other for other in imported if _file(other) is not None]
    return found


def _imports(file: Path, module: str) -> Iterator[str]:
    """Every name that could be a module imported by `file` (`from a import b` may mean `a` or `a.b`)."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_bytes(), str(file))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            relative = "." * node.level + (node.module or "")
            base = importlib.util.resolve_name(relative, package) if node.level else relative
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _file(module: str) -> Path | None:
    """The file of a module, found without importing it (`find_spec` would import its parents, and torch with them)."""
    root, *rest = module.split(".")
    spec = importlib.util.find_spec(root)
    if spec is None:
        return None
    if not spec.submodule_search_locations:
        return Path(spec.origin) if spec.origin and not rest else None
    base = Path(next(iter(spec.submodule_search_locations))).joinpath(*rest)
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)
