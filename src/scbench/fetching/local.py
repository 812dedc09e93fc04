"""Models and data that are no repository of the hub: folders, files, and models that come as packages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scbench.errors import ScbenchError
from scbench.fetching.thing import State
from scbench.models import embedded


@dataclass(frozen=True)
class Local:
    """A folder or file that has to be here already; `setting` is what named it."""

    setting: str
    path: str

    @property
    def name(self) -> str:
        """As it was given."""
        return f"{self.setting}={self.path}"

    def state(self) -> State:
        """What lies there."""
        path = Path(self.path)
        if not path.exists():
            raise ScbenchError(f"{self.name}: is not there; put it there, or name a repository of the hub")
        size = sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())
        return State(size, 0)

    def bring(self) -> None:
        """There is nothing to bring."""


@dataclass(frozen=True)
class Packaged:
    """A model that comes with scbench, or as a package of which its files are made once."""

    path: str

    @property
    def name(self) -> str:
        """As it was given."""
        return f"model {self.path}"

    def state(self) -> State:
        """What is in scbench's cache."""
        folder = embedded.made(self.path)
        if folder is None:
            return State(None, None)
        return State(sum(file.stat().st_size for file in folder.iterdir()), 0)

    def bring(self) -> None:
        """Fetch the package and convert its file."""
        embedded.ensure(self.path)
