"""What the Snakefile asks of the package: which sweep it is about."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scbench.config.files import find_conf
from scbench.errors import ScbenchError
from scbench.grid.manifest import Manifest
from scbench.grid.outlook import outlook
from scbench.grid.plan import ensure, locate
from scbench.grid.site import Site, site_of
from scbench.nearest import hint
from scbench.run.stamps import forget_failures

KEYS = ("manifest", "experiment", "overrides")
DEFAULT_EXPERIMENT = "demo"


def manifest_of(config: Mapping[str, object], main: bool) -> Manifest:
    """The manifest for snakemake's `--config`: `manifest=PATH`, or `experiment=NAME` and `overrides='…'`.

    Only the `main` process composes; the jobs that it starts read what it wrote. Raises `ScbenchError`.
    """
    for key in config:
        if key not in KEYS:
            raise ScbenchError(f"--config {key}=…: there is no such key; {hint(key, KEYS)}")
    if "manifest" in config:
        manifest = Manifest.read(Path(str(config["manifest"])))
    elif main:
        manifest = ensure(_overrides(config), find_conf())
    else:
        manifest = Manifest.read(locate(_overrides(config), find_conf()))
    if main:
        forget_failures(manifest)
    return manifest


def opening(
    config: Mapping[str, object], defaults: Mapping[str, Any] | None, cores: int, main: bool
) -> tuple[Manifest, Site]:
    """What a Snakefile begins with: its sweep, and what the profile says; the main process tells the outlook.

    `defaults` are Snakemake's default resources. An exception would come with a traceback there: it is one line and
    exit code 2.
    """
    try:
        site = site_of({name: value.raw for name, value in (defaults or {}).items()}, cores)
        manifest = manifest_of(config, main)
    except ScbenchError as error:
        print(f"scbench: {error}", file=sys.stderr)
        sys.exit(2)
    if main:
        for line in outlook(manifest, site.device):
            print(line, file=sys.stderr)
    return manifest, site


def _overrides(config: Mapping[str, object]) -> list[str]:
    text = config.get("overrides") or ""
    if not isinstance(text, str):
        raise ScbenchError("--config overrides=… takes one text, for example overrides='method=dense task.limit=2'")
    try:
        overrides = shlex.split(text)
    except ValueError as error:
        raise ScbenchError(f"--config overrides='{text}': {error}") from error
    if any(override.startswith("experiment=") for override in overrides):
        return overrides
    return [f"experiment={config.get('experiment', DEFAULT_EXPERIMENT)}", *overrides]


def sources(*patterns: str) -> list[str]:
    """The package's own files that match, for rules whose result depends on them.

    Relative to the working directory where they lie below it, so that a clone that is moved is still up to date.
    """
    package, here = Path(__file__).parent, Path.cwd()
    files = {
        file
        for pattern in patterns
        for file in package.glob(pattern)
        if file.suffix in {".py", ".j2", ".js", ".css", ".json"}
    }
    return sorted(str(file.relative_to(here) if file.is_relative_to(here) else file) for file in files)
