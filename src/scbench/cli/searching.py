"""`scbench search-minference`: a table of patterns for a model that has none."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from scbench.errors import ScbenchError

if TYPE_CHECKING:
    from scbench.config.cell import Cell


def run(arguments: argparse.Namespace) -> int:
    """Search, write the table, and say what it holds; an interrupted search leaves no file."""
    from scbench.config.compose import compose
    from scbench.config.files import find_conf

    if not 0 < arguments.budget <= 1:
        raise ScbenchError(
            f"--budget {arguments.budget:g}: give a share of the attention's entries, above 0, at most 1"
        )
    if arguments.output.is_dir():
        raise ScbenchError(f"--output {arguments.output} is a folder; name the file")
    chosen = next((override for override in arguments.overrides if override.startswith("method=")), None)
    if chosen is not None:
        raise ScbenchError(f"'{chosen}': the method is minference here; its options are taken, as method.last=32")
    cells = compose(["method=minference", *arguments.overrides], find_conf()).cells
    if len(cells) > 1:
        raise ScbenchError(f"search-minference takes one model, task and mode; these overrides make {len(cells)} cells")
    try:
        return _search(arguments, cells[0])
    except KeyboardInterrupt:
        print("\nscbench: interrupted: nothing was written", file=sys.stderr)
        return 130


def _search(arguments: argparse.Namespace, cell: Cell) -> int:
    from scbench.results.files import write_text_atomic
    from scbench.run.progress import shown
    from scbench.run.searching import search_table

    with shown() as progress:
        searched = search_table(cell, arguments.budget, progress)
    write_text_atomic(arguments.output, searched.text)
    heads = searched.heads
    recall, density = (sum(getattr(found, what) for found in heads) / len(heads) for what in ("recall", "density"))
    print(", ".join(f"{kind} {count}" for kind, count in searched.kinds.most_common()))
    print(
        f"they capture {recall:.3f} of the attention of {searched.source['tokens']} tokens and read {density:.3f} of it"
    )
    print(f"{arguments.output}: use it with method=minference method.minference.table={arguments.output}")
    return 0
