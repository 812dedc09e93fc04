"""`scbench findings`: what a sweep says of claims that were written down before it ran."""

from __future__ import annotations

import argparse
from pathlib import Path

from scbench.cli.sweeps import find_sweep
from scbench.errors import ScbenchError


def findings(arguments: argparse.Namespace) -> int:
    """Write the page of findings, and print its table."""
    from rich.console import Console
    from rich.text import Text

    from scbench.config.files import find_conf
    from scbench.findings.page import write_findings
    from scbench.report.terminal import print_table

    if (arguments.manifest is None) == (arguments.sweep is None):
        raise ScbenchError("findings takes either SWEEP or --manifest FILE (`scbench findings --help` explains)")
    manifest: Path = find_sweep(arguments.sweep) if arguments.manifest is None else arguments.manifest
    page: Path = arguments.output or manifest.parent / "findings.md"
    table = write_findings(manifest, find_conf(), page)
    console = Console()
    print_table(console, table)
    console.print(Text(table.note, style="dim"))
    print(page)
    return 0
