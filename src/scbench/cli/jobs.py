"""The commands that the workflow's rules call, each on one manifest."""

from __future__ import annotations

import argparse
import sys


def sessions(arguments: argparse.Namespace) -> int:
    """Make one file of sessions."""
    from scbench.grid.manifest import Manifest
    from scbench.run.local import write_sessions

    write_sessions(Manifest.read(arguments.manifest), arguments.source)
    return 0


def run_family(arguments: argparse.Namespace) -> int:
    """Run one family, or a shard of it, on GPUs of its own, with bars on a terminal and lines in a log."""
    from scbench.grid.manifest import Manifest
    from scbench.grid.shard import Shard
    from scbench.run import gpus, local
    from scbench.run.progress import shown

    manifest, shard = Manifest.read(arguments.manifest), Shard.parse(arguments.shard)
    with gpus.own(arguments.gpus, lambda line: print(f"scbench: {line}", file=sys.stderr)), shown() as progress:
        local.run_family(manifest, arguments.family, shard, progress, last=bool(arguments.last))
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
    """Log to MLflow: the cells' runs, or what was made of them. A refusal is written down, and fails no sweep."""
    from scbench.report.artifacts import attach_sweep
    from scbench.report.tracking import track_sweep
    from scbench.report.tracking_failure import ATTACHED, TRACKED, TrackingRefused, record_failure

    log, output = (attach_sweep, ATTACHED) if arguments.artifacts else (track_sweep, TRACKED)
    try:
        log(arguments.manifest)
    except TrackingRefused as error:
        record_failure(arguments.manifest.resolve().parent / output, str(error))
        print(f"scbench: not tracked: {error}", file=sys.stderr)
    return 0


def doctor(arguments: argparse.Namespace) -> int:
    """Print what this machine can run."""
    from scbench.doctor import findings

    for line in findings():
        print(line)
    return 0
