"""The outlook: how many jobs, what they cost on the site's device, and what does not fit."""

import json
from pathlib import Path

import pytest

from scbench.grid.devices import GPUS, cpu
from scbench.grid.manifest import Manifest
from scbench.grid.outlook import outlook
from scbench.grid.plan import plan
from scbench.models.files import PUBLISHED

LENGTHS = "task.length=16384,32768"


@pytest.fixture
def planned(conf: Path) -> Manifest:
    """Two families of two cells on Llama-3.1-8B, in three shards each of which one is done."""
    config = PUBLISHED["meta-llama/Llama-3.1-8B-Instruct"]
    (conf.parent / "weights/tiny/config.json").write_text(json.dumps(config))
    given = ["mode=glob(*)", "engine.device=auto", LENGTHS, "task.limit=6", "run.shards=3"]
    manifest = plan([*given, f"results={conf.parent}/results"], conf)
    manifest.stamps()[4].parent.mkdir(parents=True)
    manifest.stamps()[4].touch()
    return manifest


def test_it_counts_jobs_and_gpu_hours(planned: Manifest) -> None:
    h100 = GPUS["h100"]
    counted, price = outlook(planned, h100)
    assert "4 cells in 2 families, 6 jobs, of which 1 are done" in counted
    demands = [family.demand for family in planned.families if family.demand is not None]
    hours = sum(sizes.estimate(h100).seconds for sizes in demands) / 3600
    assert f"estimate: {hours:.3g} GPU hours on h100" in price
    assert len(demands) == 2 and 0 < hours < 1


def test_on_a_cpu_it_tells_the_time(planned: Manifest) -> None:
    assert " h on a CPU, one family after the other" in list(outlook(planned, cpu(2)))[1]


def test_it_says_how_many_gpus_would_do(planned: Manifest) -> None:
    *_, narrow = outlook(planned, GPUS["rtx4090"])
    # by hand: 15 GiB of weights, two caches of 2 or 4 GiB, half or one of activations; 21.6 of 24 are room
    assert narrow == "1 families of tiny do not fit their rtx4090: model.tiny.parallel=2 would give them room"


def test_it_names_what_it_cannot_tell(conf: Path) -> None:
    _, unknown = outlook(plan([f"results={conf.parent}/results"], conf), cpu(2))
    assert unknown.startswith("no estimate for 1 families")
