"""Which sessions are about the same context: those that share a document, in whatever task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Key = tuple[str, str]  # a cell, and a session of it


def contexts(documents: Mapping[Key, Iterable[str]]) -> dict[Key, str]:
    """The context of each session, by the name of one of its documents.

    Sessions that share a document, directly or by way of others, have one context: they are not independent. Every
    session has a document.
    """
    parent: dict[str, str] = {}

    def root(node: str) -> str:
        while parent.setdefault(node, node) != node:
            parent[node] = node = parent[parent[node]]
        return node

    first: dict[Key, str] = {}
    for key, names in documents.items():
        roots = sorted({root(name) for name in names})
        first[key] = roots[0]
        for other in roots[1:]:
            parent[other] = roots[0]
    return {key: root(node) for key, node in first.items()}
