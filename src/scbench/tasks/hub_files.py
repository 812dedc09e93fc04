"""The files of a data set on the Hugging Face hub: which hold a configuration, and those that are here already."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

# In the order in which they are looked for: what the hub itself serves as a configuration's rows comes first.
LAYOUTS = ("{0}/test-*.parquet", "{0}.jsonl", "{0}.parquet", "data/{0}.jsonl", "data/{0}.parquet")


def files_of(published: str, names: Iterable[str]) -> list[str]:
    """The files among `names` that hold the configuration `published`, in the order of its rows; none if unknown."""
    there = sorted(names)
    found = ([name for name in there if fnmatchcase(name, layout.format(published))] for layout in LAYOUTS)
    return next((files for files in found if files), [])


def fetched(repository: str, revision: str, published: str) -> list[Path] | None:
    """The configuration's files in the hub's cache, all of them; None if one is not there. Asks no network."""
    from huggingface_hub import get_cached_repo_tree, snapshot_download
    from huggingface_hub.errors import CachedRepoTreeNotFoundError, LocalEntryNotFoundError

    try:
        tree = get_cached_repo_tree(repository, repo_type="dataset", revision=revision)
        names = files_of(published, (file.path for file in tree))
        folder = snapshot_download(
            repository, repo_type="dataset", revision=revision, allow_patterns=names, local_files_only=True
        )
    except (CachedRepoTreeNotFoundError, LocalEntryNotFoundError):
        return None
    return [Path(folder) / name for name in names] or None
