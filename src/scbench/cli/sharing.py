"""`scbench pack`, `scbench verify`, and the archives that `scbench show` puts beside a sweep."""

from __future__ import annotations

import argparse
from pathlib import Path

from scbench.cli.sweeps import find_sweep

SHOWN = 50  # differences that are printed


def pack(arguments: argparse.Namespace) -> int:
    """Write the archive, and say what names its content."""
    from scbench.share.pack import pack as pack_sweep

    packed = pack_sweep(find_sweep(arguments.sweep), arguments.output)
    print(f"{packed.path}: verified, sha256 {packed.digest}")
    return 0


def verify(arguments: argparse.Namespace) -> int:
    """Print what does not follow from the archive's records; exit code 1 if something does not."""
    from scbench.share.drawn import REPORT
    from scbench.share.verify import verify as verify_archive

    archive: Path = arguments.archive
    verdict = verify_archive(archive)
    print(f"{archive}: sweep {verdict.sweep}, sha256 {verdict.digest}")
    for line in verdict.differences[:SHOWN]:
        print(line)
    count = len(verdict.differences)
    if count > SHOWN:
        print(f"… and {count - SHOWN} more")
    made = f"{verdict.records} records, scored and tabulated anew"
    if verdict.holds:
        print(f"verified: every number in {verdict.tables} files follows from {made}; so do names and provenance")
        if REPORT in verdict.unchecked:
            print(
                "report.html and figures/ were drawn by other versions of scbench, matplotlib or plotly than are here"
            )
        print(f"not checked: {', '.join(verdict.unchecked)}")
        return 0
    print(f"not verified: {count} lines do not follow from {made}")
    return 1


def show_baselines(manifest: Path, folder: Path) -> None:
    """Print the sweep's cells with those of a folder's archives that asked the same, and what cannot stand there."""
    from rich.console import Console
    from rich.text import Text

    from scbench.report.terminal import print_table
    from scbench.results.summary import read_summary
    from scbench.results.text import visible
    from scbench.share.baselines import baselines, beside, not_comparable

    found, console = baselines(folder, manifest), Console()
    table = beside(read_summary(manifest), found)
    print_table(console, table)
    console.print(Text(table.note, style="dim"))
    for line in not_comparable(found):
        console.print(Text(visible(line), style="yellow"), soft_wrap=True)
