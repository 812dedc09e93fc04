"""Run a planned sweep in this process, and read what it has recorded."""

from scbench.results.store import CellStore
from scbench.run.family import run_family
from scbench.run.progress import NullProgress


def run(manifest):
    """Every family's summary by cell."""
    return {
        name: summary
        for family in manifest.families
        for name, summary in run_family(manifest.path, family.id, NullProgress()).cells.items()
    }


def records(manifest):
    """All records, by mode."""
    return {cell.mode.name: CellStore(manifest.root, name).read() for name, cell in manifest.cells.items()}
