"""Which sessions are about the same context: those that share a document, in whatever task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Key = tuple[str, str]  # a task, and a session of it


def contexts(documents: Mapping[Key, Iterable[str]]) -> dict[Key, str]:
    """The context of each session, by the name of one of its documents.

    Sessions that share a document, directly or by way of others, have one context: they are not independent. A
    session without documents is a context of its own.
    """
    parent: dict[str, str] = {}

    def root(node: str) -> str:
        while parent.setdefault(node, node) != node:
            parent[node] = node = parent[parent[node]]
        return node

    first: dict[Key, str] = {}
    for (task, session), names in documents.items():
        nodes = sorted(set(names)) or [f"{task}/{session}"]
        first[task, session] = nodes[0]
        roots = sorted({root(node) for node in nodes})
        for other in roots[1:]:
            parent[other] = roots[0]
    return {key: root(node) for key, node in first.items()}
