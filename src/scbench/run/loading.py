"""A cell's model in memory, ready to read."""

from __future__ import annotations

import torch

from scbench.config.cell import Cell
from scbench.engine.adapter import Adapter
from scbench.engine.answer import Decoder
from scbench.engine.config import EngineConfig
from scbench.errors import ScbenchError
from scbench.kernels.choose import Kernels
from scbench.models.cache import cache_folder
from scbench.models.model import LoadedModel, load


def load_decoder(cell: Cell) -> tuple[LoadedModel, Decoder]:
    """The cell's model with the kernels of its engine; raises ScbenchError if one of them cannot be had here."""
    engine: EngineConfig = cell.engine.build()
    loaded = load(cell.model.build(), _device(engine.device))
    adapter = Adapter(loaded.model)
    kernels = Kernels(loaded.model.device, loaded.model.dtype, engine.kernels, cache_folder() / "kernels")
    return loaded, Decoder(adapter, kernels, engine.chunk)


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise ScbenchError("engine.device=cuda: torch sees no CUDA device here; `scbench doctor` says what it sees")
    return torch.device("cuda" if name == "cuda" or (name == "auto" and torch.cuda.is_available()) else "cpu")
