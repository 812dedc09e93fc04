"""`scbench sweep` and `scbench run`: plan, then run through snakemake or here."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from scbench.cli import outcome
from scbench.config.files import ROOT, find_conf
from scbench.errors import ScbenchError

if TYPE_CHECKING:
    from scbench.grid.manifest import Family, Manifest

NAMED = 8  # families that an error message names
QUIET = ("--quiet", "host", "rules", "reason")  # progress and errors stay
ELSEWHERE = {"--resources", "--res", "--profile", "--executor", "-e"}
VERBOSE = {"-n", "--dry-run", "--dryrun", "-q", "--quiet", "-p", "--verbose"}  # whoever asks for these means them


def sweep(arguments: argparse.Namespace) -> NoReturn:
    """Write the manifest and become snakemake, which begins with what the sweep will take."""
    from scbench.grid.plan import ensure

    snakefile = ROOT / "Snakefile"
    if not snakefile.is_file():
        raise ScbenchError(
            f"{snakefile} is missing: `scbench sweep` needs a clone of the repository (pip install -e .)"
        )
    manifest = ensure(arguments.overrides, find_conf())
    # --config last: snakemake keeps the last one
    quiet = [] if VERBOSE & set(arguments.rest) else QUIET
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), *quiet, *arguments.rest]
    os.execv(sys.executable, [*command, *_all_gpus(arguments.rest), "--config", f"manifest={manifest.path}"])


def _all_gpus(rest: Sequence[str]) -> list[str]:
    """This machine's GPUs as the limit that snakemake keeps, unless somebody says what it is, or where else to run."""
    from scbench.run.gpus import visible

    said = any(option.split("=")[0] in ELSEWHERE for option in rest)
    return [] if said or not visible() else ["--resources", f"gpu={len(visible())}"]


def run(arguments: argparse.Namespace) -> int:
    """Run one family in the foreground, score, and print the table; exit code 1 if something failed."""
    from scbench.grid.plan import ensure
    from scbench.results.scores import score_sweep
    from scbench.run.local import run_here
    from scbench.run.progress import shown
    from scbench.run.stamps import failed_cells, forget_failures

    manifest = ensure(arguments.overrides, find_conf())
    family = _family(manifest, arguments.family)
    part = replace(manifest, families=(family,), sources={family.source: manifest.sources[family.source]})
    with shown() as progress:
        run_here(part, progress)
    scored = score_sweep(manifest.path)
    reasons = failed_cells(part)
    forget_failures(part)
    if len(reasons) == len(family.cells):
        raise ScbenchError(next(iter(reasons.values())))
    outcome.show(manifest.path)
    return 1 if len(scored.failures) else 0


def _family(manifest: Manifest, wanted: str | None) -> Family:
    if wanted is not None:
        return manifest.family(wanted)
    if len(manifest.families) > 1:
        some = "; ".join(f"--family {family.id} ({_what(manifest, family)})" for family in manifest.families[:NAMED])
        more = "; …" if len(manifest.families) > NAMED else ""
        raise ScbenchError(
            f"the overrides span {len(manifest.families)} families, and `scbench run` runs one; narrow them, "
            f"use `scbench sweep`, or add one of: {some}{more}"
        )
    return manifest.families[0]


def _what(manifest: Manifest, family: Family) -> str:
    cell = manifest.cells[family.cells[0]]
    return f"{cell.model.name}, {cell.task.name}, {cell.task.options.get('length')} tokens, {len(family.cells)} cells"
