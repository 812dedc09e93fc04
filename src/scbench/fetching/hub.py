"""Models and data sets on the Hugging Face hub, brought into its own cache, where transformers looks for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase

from scbench.errors import ScbenchError
from scbench.fetching.thing import State
from scbench.tasks.hub_files import files_of

# What transformers reads of a repository: nothing that is pickled, and no second copy of the weights in another form.
READ = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.tiktoken")
CODE = "*.py"  # of a model with trust_remote_code
NOT_READ = ("*/*", "consolidated*")


@dataclass(frozen=True)
class HubModel:
    """A model's weights, tokenizer and configuration, at a commit, or at the newest one of its main branch."""

    repository: str
    revision: str | None = None
    code: bool = False

    @property
    def name(self) -> str:
        """The repository with its revision."""
        return f"model {self.repository}" + (f"@{self.revision}" if self.revision else "")

    def state(self) -> State:
        """Asks the hub, or its cache where HF_HUB_OFFLINE is set."""
        with _explained(self.name):
            sizes = self._files.sizes()
        if not any(name.endswith(".safetensors") for name in sizes):
            raise ScbenchError(f"{self.name}: has no safetensors, and nothing else is read; name another revision")
        return _state(sizes)

    def bring(self) -> None:
        """Into the hub's cache."""
        with _explained(self.name):
            self._files.download()

    @property
    def _files(self) -> Files:
        read = (*READ, CODE) if self.code else READ
        return Files(self.repository, "model", self.revision, read, NOT_READ)


@dataclass(frozen=True)
class HubData:
    """One configuration of a data set, at a commit."""

    repository: str
    revision: str
    published: str

    @property
    def name(self) -> str:
        """The data set's configuration, and the commit's first digits."""
        return f"data {self.repository}@{self.revision[:12]} {self.published}"

    def state(self) -> State:
        """Asks the hub, or its cache where HF_HUB_OFFLINE is set."""
        with _explained(self.name):
            return _state(self._files().sizes())

    def bring(self) -> None:
        """Into the hub's cache, where `scbench.tasks.hub_files.fetched` finds it."""
        with _explained(self.name):
            self._files().download()

    def _files(self) -> Files:
        whole = Files(self.repository, "dataset", self.revision, ("*",))
        names = files_of(self.published, whole.sizes())
        if not names:
            raise ScbenchError(f"{self.name}: the data set has no files of that name; give task.data a folder of files")
        return Files(self.repository, "dataset", self.revision, tuple(names))


@dataclass(frozen=True)
class Files:
    """The files of a repository that match `read` and not `passed_over` (patterns of the hub)."""

    repository: str
    kind: str
    revision: str | None
    read: tuple[str, ...]
    passed_over: tuple[str, ...] = ()

    def sizes(self) -> dict[str, tuple[int, bool]]:
        """Bytes by name, and whether the file is here; raises what the hub raises."""
        from huggingface_hub import HfApi, RepoFile, get_cached_repo_tree, is_offline_mode, try_to_load_from_cache

        revision = self.revision
        if is_offline_mode():
            tree = get_cached_repo_tree(self.repository, repo_type=self.kind, revision=revision)
        else:
            hub = HfApi()
            revision = hub.repo_info(self.repository, repo_type=self.kind, revision=revision).sha
            listed = hub.list_repo_tree(self.repository, repo_type=self.kind, revision=revision, recursive=True)
            tree = [file for file in listed if isinstance(file, RepoFile)]
        sizes = {file.path: file.size for file in tree}
        here = {
            name: try_to_load_from_cache(self.repository, name, revision=revision, repo_type=self.kind)
            for name in sizes
            if _matches(name, self.read) and not _matches(name, self.passed_over)
        }
        return {name: (sizes[name], isinstance(path, str)) for name, path in here.items()}

    def download(self) -> None:
        """What is missing, into the hub's cache; raises what the hub raises."""
        from huggingface_hub import snapshot_download

        snapshot_download(
            self.repository,
            repo_type=self.kind,
            revision=self.revision,
            allow_patterns=list(self.read),
            ignore_patterns=list(self.passed_over),
        )


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _state(sizes: dict[str, tuple[int, bool]]) -> State:
    return State(
        sum(size for size, _ in sizes.values()),
        sum(size for size, here in sizes.values() if not here),
    )


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """The hub's many errors as one line."""
    from httpx2 import HTTPError
    from huggingface_hub.errors import (
        CachedRepoTreeNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    offline = "not here, and HF_HUB_OFFLINE is set: fetch it where there is a network, without that variable"
    hints: tuple[tuple[type[Exception], str], ...] = (
        (CachedRepoTreeNotFoundError, offline),
        (OfflineModeIsEnabled, offline),
        (GatedRepoError, "gated: accept its licence on its page of the hub, and log in here (`hf auth login`)"),
        (RepositoryNotFoundError, "not on the hub, or private: log in here (`hf auth login`)"),
        (HfHubHTTPError, "the hub refuses"),
    )
    try:
        yield
    except (OSError, ValueError, HTTPError, CachedRepoTreeNotFoundError) as error:
        # what is raised may only say that there is no copy here either; why, is behind it
        chain = [one for one in (error, error.__cause__) if one is not None]
        known = ((text, one) for one in chain for kind, text in hints if isinstance(one, kind))
        hint, cause = next(known, ("cannot be fetched", chain[-1]))
        first = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
        raise ScbenchError(f"{name}: {hint if ':' in hint else f'{hint} ({first})'}") from error
