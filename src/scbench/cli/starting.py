"""`scbench init`: what a site or a user adapts, as files in the current folder."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from scbench.config.files import ROOT

STARTS = {
    "slurm/config.yaml": "profiles/slurm/config.yaml",
    "conf/experiment/mine.yaml": "conf/experiment/smoke.yaml",
}


def run(arguments: argparse.Namespace) -> int:
    """Copy each file that is not there yet, and say so; what is there stays as it is."""
    for target, source in STARTS.items():
        path = Path(target)
        if path.exists():
            print(f"there already: {path}")
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / source, path)
        print(f"written: {path}")
    return 0
