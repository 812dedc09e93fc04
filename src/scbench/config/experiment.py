"""Experiments: named lists of overrides.

`conf/experiment/<name>.yaml` has a mapping of overrides, `sweep:`. Its list `also:` holds further sweeps, each by what
it changes in the first; one that changes what the command line sets is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scbench.config.grammar import Assignment, parse
from scbench.config.tree import ConfTree
from scbench.errors import ScbenchError


def sweeps(tree: ConfTree, name: str | None, given: Mapping[str, Assignment]) -> tuple[Mapping[str, Assignment], ...]:
    """The overrides of each sweep of an experiment, by key; one without any if there is no experiment.

    `given` are those of the command line. Raises `ScbenchError` where the file is not as it should be.
    """
    if name is None:
        return ({},)
    node = tree.node("experiment", name, f"experiment={name}")
    file = f"conf/experiment/{name}.yaml"
    first, also = node.get("sweep"), node.get("also", [])
    if not set(node) <= {"sweep", "also"} or not isinstance(first, Mapping):
        raise ScbenchError(f"{file} must hold '# @package _global_' and one mapping, 'sweep:', of overrides")
    if not isinstance(also, list) or not all(isinstance(one, Mapping) for one in also):
        raise ScbenchError(f"{file}: 'also:' must be a list of mappings of overrides, each of them a further sweep")
    changes = [one for one in also if not set(one) & set(given)]
    return tuple(_assignments(tree, file, {**first, **change}) for change in ({}, *changes))


def _assignments(tree: ConfTree, file: str, sweep: Mapping[Any, Any]) -> Mapping[str, Assignment]:
    assignments = {}
    for key, value in sweep.items():
        if isinstance(value, list | Mapping):
            raise ScbenchError(f"{file}: sweep.{key} must be a text or a number; write a sweep as 'a,b,c'")
        text = f"{key}={'null' if value is None else value}"
        assignments[str(key)] = parse(text, tree.loader, f"{file}: '{text}'")
    return assignments
