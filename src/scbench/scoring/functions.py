"""The first function of a source text, by the tree-sitter grammars of the six languages of Code.RepoQA."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

LONGEST = 200_000
"""Characters that are parsed at most: broken code costs more than linear time. An answer of 1024 tokens is shorter."""


@dataclass(frozen=True)
class Grammar:
    """A language's package, its entry point, the node that the original takes for a function, and all that are."""

    package: str
    entry: str
    ref_kind: str
    kinds: frozenset[str]


GRAMMARS: Mapping[str, Grammar] = {
    "python": Grammar("tree_sitter_python", "language", "function_definition", frozenset({"function_definition"})),
    "java": Grammar(
        "tree_sitter_java",
        "language",
        "method_declaration",
        frozenset({"method_declaration", "constructor_declaration"}),
    ),
    "typescript": Grammar(
        "tree_sitter_typescript",
        "language_typescript",
        "function_declaration",
        frozenset({"function_declaration", "generator_function_declaration", "method_definition", "arrow_function"}),
    ),
    "rust": Grammar("tree_sitter_rust", "language", "function_item", frozenset({"function_item"})),
    "cpp": Grammar("tree_sitter_cpp", "language", "function_definition", frozenset({"function_definition"})),
    "go": Grammar(
        "tree_sitter_go",
        "language",
        "function_declaration",
        frozenset({"function_declaration", "method_declaration"}),
    ),
}


def ref_function(source: str, language: str) -> str | None:
    """The text of the first function as the original finds it; None if there is none.

    Raises `KeyError` for another language, `UnicodeEncodeError` for text that has no UTF-8.
    """
    grammar = GRAMMARS[language]
    found = (node for node in _nodes(source[:LONGEST].encode(), language) if node.type == grammar.ref_kind)
    return next((_text(node) for node in found if language != "cpp" or _plainly_declared(node)), None)


def function(source: str, language: str | None) -> str | None:
    """The text of the first function, method or arrow function; None if there is none, or no grammar."""
    if language is None or language not in GRAMMARS:
        return None
    kinds = GRAMMARS[language].kinds
    encoded = source[:LONGEST].encode("utf-8", "replace")
    return next((_text(_whole(node)) for node in _nodes(encoded, language) if node.type in kinds), None)


def _plainly_declared(node: Node) -> bool:
    """Whether a C++ function's declarator is a name and parameters, without qualifier, pointer or reference."""
    declarator = node.child_by_field_name("declarator")
    if declarator is None or declarator.type != "function_declarator":
        return False
    name = declarator.child_by_field_name("declarator")
    return name is not None and name.type == "identifier"


def _whole(node: Node) -> Node:
    """The declaration of the constant that an arrow function is given to, if it is; else the node itself."""
    parent = node.parent
    if node.type != "arrow_function" or parent is None or parent.type != "variable_declarator":
        return node
    return parent.parent or node


def _text(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")


def _nodes(source: bytes, language: str) -> Iterator[Node]:
    """All nodes, parents before children, in the order of the text."""
    cursor = _parser(language).parse(source).walk()
    while True:
        if cursor.node is not None:
            yield cursor.node
        if cursor.goto_first_child():
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return


@cache
def _parser(language: str) -> Parser:
    from tree_sitter import Language, Parser

    grammar = GRAMMARS[language]
    return Parser(Language(getattr(importlib.import_module(grammar.package), grammar.entry)()))
