"""The commands that the workflow's rules call, each on one manifest."""

from __future__ import annotations

import argparse


def sessions(arguments: argparse.Namespace) -> int:
    """Make one file of sessions."""
    from scbench.grid.manifest import Manifest
    from scbench.run.local import write_sessions

    write_sessions(Manifest.read(arguments.manifest), arguments.source)
    return 0


def run_family(arguments: argparse.Namespace) -> int:
    """Run one family, with bars on a terminal and lines in a log."""
    from scbench.grid.manifest import Manifest
    from scbench.run import local
    from scbench.run.progress import shown

    with shown() as progress:
        local.run_family(Manifest.read(arguments.manifest), arguments.family, progress)
    return 0


def tables(arguments: argparse.Namespace) -> int:
    """Write the tables."""
    from scbench.results.tables import tables_sweep

    tables_sweep(arguments.manifest)
    return 0


def report(arguments: argparse.Namespace) -> int:
    """Write the HTML report."""
    from scbench.report.html import report_sweep

    report_sweep(arguments.manifest)
    return 0


def track(arguments: argparse.Namespace) -> int:
    """Log to MLflow: the cells' runs, or what was made of them."""
    if arguments.artifacts:
        from scbench.report.artifacts import attach_sweep

        attach_sweep(arguments.manifest)
        return 0
    from scbench.report.tracking import track_sweep

    track_sweep(arguments.manifest)
    return 0


def doctor(arguments: argparse.Namespace) -> int:
    """Print what this machine can run."""
    from scbench.doctor import findings

    for line in findings():
        print(line)
    return 0
