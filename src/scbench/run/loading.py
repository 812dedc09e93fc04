"""A cell's model in memory, ready to read."""

from __future__ import annotations

from collections.abc import Callable

import torch

from scbench.config.cell import Cell, Choice
from scbench.engine.adapter import Adapter
from scbench.engine.answer import Decoder
from scbench.engine.config import EngineConfig
from scbench.errors import ScbenchError
from scbench.kernels.choose import Kernels
from scbench.models.cache import cache_folder
from scbench.models.model import LoadedModel, ModelConfig, load

Loaded = tuple[LoadedModel, Decoder]
Load = Callable[[Cell], Loaded]


def load_decoder(cell: Cell) -> Loaded:
    """The cell's model with the kernels of its engine; raises ScbenchError if one of them cannot be had here."""
    engine: EngineConfig = cell.engine.build()
    model: ModelConfig = cell.model.build()
    loaded = load(model, *_devices(engine.device, model.parallel))
    adapter = Adapter(loaded.model)
    kernels = Kernels(loaded.model.device, loaded.model.dtype, engine.kernels, cache_folder() / "kernels")
    return loaded, Decoder(adapter, kernels, engine.chunk)


class Latest:
    """Loads as `load_decoder` does, and keeps the latest: families of one model that follow one another share it."""

    def __init__(self) -> None:
        self._key: tuple[Choice, Choice] | None = None
        self._loaded: Loaded | None = None

    def __call__(self, cell: Cell) -> Loaded:
        """The cell's model with the kernels of its engine; two models are never held at once."""
        key = (cell.model, cell.engine)
        if self._loaded is None or key != self._key:
            self._loaded = None
            self._loaded, self._key = load_decoder(cell), key
        return self._loaded


def _devices(name: str, parallel: int) -> list[torch.device]:
    """The devices for one model: the CPU, or the first GPUs that torch sees."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ScbenchError("engine.device=cuda: torch sees no CUDA device here; `scbench doctor` says what it sees")
    if name == "cpu" or not torch.cuda.is_available():
        if parallel > 1:
            raise ScbenchError(
                f"model.parallel={parallel}: it runs on a CPU here, and a model is spread over GPUs only; take "
                "model.parallel=1 (`scbench doctor` says which GPUs torch sees)"
            )
        return [torch.device("cpu")]
    there = torch.cuda.device_count()
    if parallel > there:
        raise ScbenchError(
            f"model.parallel={parallel}: the GPUs that torch sees here are {there} (CUDA_VISIBLE_DEVICES decides); "
            "take no more than that, or a machine with more"
        )
    return [torch.device("cuda", number) for number in range(parallel)]
