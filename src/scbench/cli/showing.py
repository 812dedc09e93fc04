"""`scbench show` and `scbench diff`: results on the terminal."""

from __future__ import annotations

import argparse
from pathlib import Path

from scbench.cli.sweeps import find_sweep
from scbench.errors import ScbenchError

VIEWS = ("turn", "budget", "stage")


def show(arguments: argparse.Namespace) -> int:
    """Print a sweep's tables, failures, and where the files are; or one dialogue of it."""
    from scbench.cli import outcome, sharing
    from scbench.report import terminal

    manifest = _manifest(arguments)
    if arguments.with_baselines is not None and (arguments.cell is not None or arguments.by is not None):
        raise ScbenchError("--with-baselines stands beside the whole sweep: leave --by and --cell out")
    if arguments.cell is not None:
        terminal.render_dialogue(manifest, arguments.cell, arguments.session, arguments.turn)
    elif arguments.session is not None or arguments.turn is not None:
        raise ScbenchError("--session and --turn choose from a cell: add --cell")
    elif arguments.by is not None:
        terminal.render_view(manifest, arguments.by)
    else:
        outcome.show(manifest)
        if arguments.with_baselines is not None:
            sharing.show_baselines(manifest, arguments.with_baselines)
    return 0


def diff(arguments: argparse.Namespace) -> int:
    """Print what changed between two sweeps."""
    from scbench.report.terminal import render_difference

    render_difference(find_sweep(arguments.first), find_sweep(arguments.second))
    return 0


def _manifest(arguments: argparse.Namespace) -> Path:
    if (arguments.manifest is None) == (arguments.sweep is None):
        raise ScbenchError("show takes either SWEEP or --manifest FILE (`scbench show --help` explains)")
    return find_sweep(arguments.sweep) if arguments.manifest is None else arguments.manifest
