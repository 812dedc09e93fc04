"""`scbench list`: what the configuration folder offers."""

from __future__ import annotations

import argparse

from scbench.config.files import describe, find_conf, names

GROUPS = {"models": "model", "methods": "method", "tasks": "task", "modes": "mode", "experiments": "experiment"}


def run(arguments: argparse.Namespace) -> int:
    """Print one line per choice: its name, and the first comment line of its file."""
    conf = find_conf()
    group = GROUPS[arguments.kind]
    choices = names(conf, group)
    width = max(map(len, choices), default=0)
    for name in choices:
        print(f"{name:{width}}  {describe(conf, group, name)}".rstrip())
    return 0
