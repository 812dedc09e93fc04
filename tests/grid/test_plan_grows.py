"""Planning takes time in proportion to the cells: 10,000 must not take minutes (bench/plan.py measures that)."""

import time
from pathlib import Path

from scbench.grid.devices import GPU
from scbench.grid.outlook import outlook
from scbench.grid.plan import ensure

FEW, MANY = 50, 200  # seeds: four cells and one family each


def seconds(conf: Path, seeds: int) -> float:
    """Of the processor, to plan, to read the plan again, and to tell its outlook."""
    given = ",".join(map(str, range(seeds)))
    overrides = ["experiment=small", f"task.seed={given}", "run.shards=2", f"results={conf.parent}/results"]
    began = time.process_time()
    for _ in range(2):
        manifest = ensure(overrides, conf)
        assert (len(manifest.cells), len(manifest.families)) == (4 * seeds, seeds)
        assert len(list(outlook(manifest, GPU))) >= 2
    return time.process_time() - began


def test_four_times_the_cells_take_four_times_as_long(conf: Path) -> None:
    seconds(conf, 1)  # what is imported and read once
    few = min(seconds(conf, FEW + more) for more in range(2))
    many = min(seconds(conf, MANY + more) for more in range(2))
    assert many < 8 * few, f"{few:.2f} s for {4 * FEW} cells, {many:.2f} s for {4 * MANY}"
