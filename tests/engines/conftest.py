"""A sweep on the toy engine, over the repository's own configuration."""

import shutil
import sys
from pathlib import Path

import pytest

from scbench.grid.plan import plan
from scbench.run.local import write_sessions
from tiny_folder import write_tiny

ROOT = Path(__file__).parents[2]
SMALL = ["method=dense", "task=retr_kv", "task.length=1000", "task.limit=2", "task.turns=3", "task.max_new_tokens=6"]
TOY = f"""_target_: toy_engine.ToyOptions
timeout: null
python: {sys.executable}
fault: ""
at: 1
mark: ""
"""


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A tiny random Llama with a tokenizer, as a local folder of safetensors."""
    return write_tiny(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def conf(tmp_path_factory):
    """The repository's configuration with the toy engine beside the others."""
    target = tmp_path_factory.mktemp("conf") / "conf"
    shutil.copytree(ROOT / "conf", target)
    (target / "engine" / "toy.yaml").write_text(TOY)
    return target


@pytest.fixture
def sweep(folder, conf, tmp_path):
    """Plan overrides in a results folder of the test's own, with its sessions."""

    def planned(*overrides):
        given = {override.split("=")[0] for override in overrides}
        base = [f"model.path={folder}", f"results={tmp_path / 'results'}", *SMALL]
        manifest = plan([*(item for item in base if item.split("=")[0] not in given), *overrides], conf)
        manifest.write()
        for source in manifest.sources:
            write_sessions(manifest, source)
        return manifest

    return planned
