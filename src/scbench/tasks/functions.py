"""Documented functions of installed packages, in disguise: what they do and how is real, their names are not."""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from scbench.tasks.identifiers import function_names, variable_names

LINES = range(5, 31)  # of a function without its docstring
DESCRIPTION_WORDS = range(8, 81)
TOKENS = 12  # parts between blanks, at least: BLEU is too low for an exact copy of less
KEPT = frozenset({"self", "cls", "_"})

NAME_FIELDS: Mapping[type[ast.AST], tuple[str, ...]] = {
    ast.Name: ("id",),
    ast.arg: ("arg",),
    ast.FunctionDef: ("name",),
    ast.AsyncFunctionDef: ("name",),
    ast.ClassDef: ("name",),
    ast.ExceptHandler: ("name",),
    ast.MatchAs: ("name",),
    ast.MatchStar: ("name",),
    ast.MatchMapping: ("rest",),
}

# what ends the prose of a docstring that goes on without a blank line
SECTION = re.compile(
    r"\n\s*(?:[:@.>\-=~*]|(?:Args?|Arguments|Param\w*|Returns?|Yields?|Raises?|Examples?|Notes?|See Also)\b\s*:?\s*\n)"
)
COMPOUND = re.compile(r"[A-Za-z0-9]_[A-Za-z0-9]|[a-z0-9][A-Z]")  # a name of two words is not met by chance


@dataclass(frozen=True)
class Documented:
    """A function's `code` as its authors wrote it, without docstring and decorators, and what it says it does."""

    package: str
    name: str
    code: str
    description: str


@dataclass(frozen=True)
class Function:
    """A function under a new `name`, as it stands in a context; `original` is the name that nothing may tell."""

    package: str
    name: str
    source: str
    description: str
    original: str


@cache
def documented(file: Path, package: str) -> tuple[Documented, ...]:
    """The functions and methods of a package's file that say in a sentence what they do, in order of their lines."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError):
        return ()
    return tuple(found for node in _functions(tree) if (found := _documented(package, node)) is not None)


def disguised(functions: Iterable[Documented], longest: int, source: random.Random) -> Iterator[Function]:
    """Those of the functions that can be told apart, of at most `longest` characters, under new names.

    No two have the same description, or the same code but for names. No function's original name is a word of any
    function's source, or of its own description.
    """
    names = function_names(source)
    seen: set[str] = set()  # descriptions and shapes
    words: set[str] = set()
    originals: set[str] = set()
    for function in functions:
        if len(function.code) > 2 * longest:
            continue  # new names are about as long as the old ones
        said = re.sub(r"\W+", " ", function.description).lower()
        shape = renamed(function, "f", _numbered)
        if said in seen or shape in seen or function.name in words:
            continue
        name = next(names)
        text = renamed(function, name, lambda avoid: variable_names(source, avoid))
        spoken = set(re.findall(r"\w+", text))
        if len(text) > longest or function.name in spoken or not originals.isdisjoint(spoken):
            continue
        seen |= {shape, said}
        words |= spoken
        originals.add(function.name)
        yield Function(function.package, name, text, function.description, function.name)


def renamed(function: Documented, name: str, variables: Callable[[set[str]], Iterator[str]]) -> str:
    """The function's source under this name, its arguments and variables under the next of `variables(avoid)`."""
    tree = ast.parse(function.code)
    local = [name for name in _local_names(tree) if name != function.name]
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    mapping = dict(zip(local, variables(used.difference(local)), strict=False))
    return ast.unparse(_Renaming(mapping, function.name, name).visit(tree))


class _Renaming(ast.NodeTransformer):
    """Renames wherever one of the names is meant, and the function's own among attributes too."""

    def __init__(self, variables: Mapping[str, str], function: str, name: str):
        self._names = {**variables, function: name}
        self._function = function

    def visit(self, node: ast.AST) -> ast.AST:
        """Rename the node's own name, then those of its parts."""
        for field in NAME_FIELDS.get(type(node), ()):
            setattr(node, field, self._names.get(getattr(node, field), getattr(node, field)))
        if isinstance(node, ast.Attribute) and node.attr == self._function:
            node.attr = self._names[self._function]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in self._names:
            for keyword in node.keywords:
                keyword.arg = self._names.get(keyword.arg or "", keyword.arg)
        return self.generic_visit(node)


def _functions(node: ast.Module | ast.ClassDef) -> Iterator[ast.FunctionDef]:
    for child in node.body:
        if isinstance(child, ast.FunctionDef):
            yield child
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child)


def _documented(package: str, node: ast.FunctionDef) -> Documented | None:
    docstring = ast.get_docstring(node)
    if docstring is None or not COMPOUND.search(node.name) or len(node.body) == 1:
        return None
    description = _prose(docstring)
    marked = set(re.findall(r"\w+", " ".join(re.findall(r"`[^`]*`|\*\w+\*", description))))
    bare = ast.FunctionDef(node.name, node.args, node.body[1:], [], node.returns, lineno=node.lineno)
    if (
        len(re.findall(r"\w+", description)) not in DESCRIPTION_WORDS
        or _says(description, node.name)
        or not marked.isdisjoint(_local_names(bare))
        or any(isinstance(inner, ast.Global | ast.Nonlocal) for inner in ast.walk(bare))
    ):
        return None
    code = ast.unparse(bare)
    moderate = code.count("\n") + 1 in LINES and len(code.split()) >= TOKENS
    return Documented(package, node.name, code, description) if moderate else None


def _says(description: str, name: str) -> bool:
    """Whether the description has the name, as it is or as words."""
    letters = re.sub(r"[\W_]+", "", name).lower()
    return letters in re.sub(r"[\W_]+", "", description).lower()


def _prose(docstring: str) -> str:
    """The first paragraph, on one line."""
    paragraph = docstring.strip().partition("\n\n")[0]
    return " ".join(SECTION.split(paragraph + "\n")[0].split())


def _local_names(code: ast.AST) -> dict[str, None]:
    """Whatever the code binds, at any depth, in order: functions, arguments, variables; without what it imports."""
    bound = dict.fromkeys(
        getattr(node, field)
        for node in ast.walk(code)
        for field in NAME_FIELDS.get(type(node), ())
        if not (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load))
    )
    aliases = (node for node in ast.walk(code) if isinstance(node, ast.alias))
    kept = KEPT.union((alias.asname or alias.name).partition(".")[0] for alias in aliases)
    return {name: None for name in bound if name and name not in kept}


def _numbered(avoid: set[str]) -> Iterator[str]:
    """The same names for every function, so that functions which differ in names alone come out the same."""
    number = 0
    while True:
        number += 1
        if f"v{number}" not in avoid:
            yield f"v{number}"
