"""What the cells of a sweep read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from scbench.config.cell import Cell
from scbench.fetching.hub import HubData, HubModel
from scbench.fetching.local import Local, Packaged
from scbench.fetching.thing import Thing
from scbench.models import embedded, random_weights
from scbench.models.model import ModelConfig, is_local
from scbench.tasks.rows import find_hub


def wanted(cells: Iterable[Cell]) -> list[Thing]:
    """Models, then the weights that methods read, then data; each once, in the order of the cells."""
    cells = list(cells)
    models = [thing for cell in cells for thing in _model("model.path", cell.model.build())]
    weights = [thing for cell in cells for method in cell.methods for thing in _weights(method.build().weights)]
    return list(dict.fromkeys([*models, *weights, *(thing for cell in cells for thing in _data(cell))]))


def _weights(model: ModelConfig | None) -> Iterator[Thing]:
    if model is not None:
        yield from _model("method.model", model)


def _model(setting: str, model: ModelConfig) -> Iterator[Thing]:
    if embedded.is_embedded(model.path):
        yield Packaged(model.path)
    elif random_weights.is_random(model.path):
        return  # made where it is used
    elif is_local(model.path) or Path(model.path).is_dir():
        yield Local(setting, model.path)
    else:
        yield HubModel(model.path, model.revision, model.trust_remote_code)


def _data(cell: Cell) -> Iterator[Thing]:
    data = cell.task.options.get("data")
    if data is None:  # generated
        return
    hub = find_hub(data)
    yield Local("task.data", data) if hub is None else HubData(hub.repository, hub.revision, cell.task.type.published)
