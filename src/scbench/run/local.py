"""Run a planned sweep, or a part of it, in this process. The workflow's jobs and `scbench run` share this."""

from __future__ import annotations

from collections.abc import Sequence

from scbench.errors import ScbenchError
from scbench.grid.manifest import Manifest
from scbench.grid.shard import Shard, shards
from scbench.run.progress import Progress
from scbench.run.stamps import forget_failures, write_stamp


def write_sessions(manifest: Manifest, source_id: str) -> None:
    """Make the sessions of a source; if they cannot be made, the file says why, and only its cells fail."""
    from scbench.models.model import identity, load_tokenizer
    from scbench.tasks.sessions import make_sessions, write, write_failure

    if source_id not in manifest.sources:
        raise ScbenchError(f"{manifest.path} has no source {source_id}; known: {', '.join(manifest.sources)}")
    source = manifest.sources[source_id]
    path = manifest.sessions(source_id)
    try:
        model = source.model.build()
        identity(model)  # says it plainly when there is no such model
        write(path, make_sessions(source.task.build(), load_tokenizer(model)))
    except ScbenchError as error:
        write_failure(path, str(error))


def run_family(manifest: Manifest, family_id: str, shard: Shard, progress: Progress, last: bool = False) -> None:
    """Compute what a family's cells still lack of a shard of their sessions, and leave its stamp."""
    _run(manifest, [(family_id, shard)], progress, last)


def run_here(manifest: Manifest, progress: Progress) -> None:
    """Sessions and families of a whole sweep, one after the other."""
    forget_failures(manifest)
    for source in manifest.sources:
        if not manifest.sessions(source).exists():
            write_sessions(manifest, source)
    _run(manifest, [(family.id, shard) for family in manifest.families for shard in shards(family.shards)], progress)


def _run(manifest: Manifest, jobs: Sequence[tuple[str, Shard]], progress: Progress, last: bool = False) -> None:
    from scbench.run import family, loading  # import torch

    latest = loading.Latest()
    for one, shard in jobs:
        write_stamp(manifest, family.run_family(manifest.path, one, progress, latest, shard, last))
