"""`scbench list`: what the configuration folder offers, and the presses of kvpress."""

from __future__ import annotations

import argparse

from scbench.config.files import describe, find_conf, names

GROUPS = {"models": "model", "methods": "method", "tasks": "task", "modes": "mode", "experiments": "experiment"}
PRESSES = "presses"
KINDS = (*GROUPS, PRESSES)


def run(arguments: argparse.Namespace) -> int:
    """Print one line per choice: its name, and what it is in a few words."""
    choices = _presses() if arguments.kind == PRESSES else _files(GROUPS[arguments.kind])
    width = max(map(len, choices), default=0)
    for name, said in choices.items():
        print(f"{name:{width}}  {said}".rstrip())
    return 0


def _files(group: str) -> dict[str, str]:
    """The choices of a group, each with the first comment line of its file."""
    conf = find_conf()
    return {name: describe(conf, group, name) for name in names(conf, group)}


def _presses() -> dict[str, str]:
    """The methods of engine=kvpress, which need no file."""
    from scbench.methods.kvpress.presses import PRESSES as presses  # imports torch, which the others need not wait for

    return {name: f"{(press.__doc__ or '').splitlines()[0]} [{press.mark}]" for name, press in sorted(presses.items())}
