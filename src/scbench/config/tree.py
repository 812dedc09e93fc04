"""The folder `conf/` as Hydra sees it: one group per axis, each file composed once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from scbench.config.files import AXES, names
from scbench.errors import ScbenchError
from scbench.methods.kvpress.presses import PRESSES
from scbench.nearest import hint


@contextmanager
def open_tree(folder: Path) -> Iterator[ConfTree]:
    """Hydra, started on `folder`; an enclosing Hydra application gets its own state back afterwards."""
    # `instance()` is asked each time: initialize_config_dir puts a copy in its place when it ends
    enclosing = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(version_base="1.3", config_dir=str(folder.resolve())):
            yield ConfTree(GlobalHydra.instance().config_loader(), folder)
    finally:
        GlobalHydra.instance().hydra = enclosing


class ConfTree:
    """Composed configuration files. `composes` counts the calls to Hydra's compose (about 60 ms each)."""

    def __init__(self, loader: ConfigLoader, folder: Path) -> None:
        self.loader = loader
        self.folder = folder
        self.composes = 0
        self._nodes: dict[tuple[str, str], Mapping[str, Any]] = {}

    def choices(self, group: str) -> tuple[str, ...]:
        """The names that `group=` takes: those of its files, and of kvpress's presses, which need none."""
        return (*names(self.folder, group), *(PRESSES if group == "method" else ()))

    def node(self, group: str, name: str, origin: str) -> Mapping[str, Any]:
        """`conf/<group>/<name>.yaml`, or a press, as plain data; `origin` is quoted when there is no such name."""
        if group == "method" and name in PRESSES:
            press = PRESSES[name]
            return {"_target_": f"{press.__module__}.{name}", **press.defaults()}
        if name not in self.choices(group):
            raise ScbenchError(f"{origin}: there is no {group} '{name}'; {hint(name, self.choices(group))}")
        if (group, name) not in self._nodes:
            composed = self._compose(f"{group}/{name}")
            # an experiment is written at the top level (`# @package _global_`), an axis below its own name
            self._nodes[group, name] = composed if group == "experiment" else composed.get(group, {})
        return self._nodes[group, name]

    @cached_property
    def root(self) -> tuple[Mapping[str, str], Mapping[str, Any]]:
        """`conf/config.yaml`: the default choice of every axis, and the settings that belong to no axis."""
        composed = self._compose("config", return_hydra_config=True)
        chosen = composed.pop("hydra")["runtime"]["choices"]
        if missing := [axis for axis in AXES if not chosen.get(axis)]:
            raise ScbenchError(f"{self.folder / 'config.yaml'} names no default for {', '.join(missing)}")
        settings = {key: value for key, value in composed.items() if key not in AXES}
        return {axis: chosen[axis] for axis in AXES}, settings

    def _compose(self, config_name: str, return_hydra_config: bool = False) -> dict[str, Any]:
        self.composes += 1
        try:
            composed = compose(config_name, return_hydra_config=return_hydra_config)
            # hydra's own node has values that exist only inside a Hydra application
            return _plain(composed, resolve=not return_hydra_config)
        except (HydraException, OmegaConfBaseException) as error:
            file = self.folder / f"{config_name}.yaml"
            raise ScbenchError(f"{file}: {str(error).splitlines()[0]}") from error
        except YAMLError as error:  # names file, line and column in several lines
            raise ScbenchError(" ".join(str(error).split())) from error


def _plain(node: DictConfig, resolve: bool) -> dict[str, Any]:
    return {str(key): value for key, value in OmegaConf.to_container(node, resolve=resolve).items()}  # type: ignore[union-attr]
