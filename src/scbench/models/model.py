"""Models: where their files come from, what identifies them, and how they are loaded.

`identity` needs no torch and reads little, since planning asks it for every model of a sweep.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scbench.errors import ScbenchError
from scbench.models import embedded, random_weights
from scbench.models.cache import remembered_sha256
from scbench.nearest import hint

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

DTYPES = ("auto", "float32", "bfloat16", "float16")


@dataclass(frozen=True)
class ModelConfig:
    """A causal language model.

    `path` is a Hugging Face id, a local folder with safetensors, `embedded:NAME` for a model that comes as a Python
    package, or `random:NAME` for a small one of an architecture with random weights. `revision` pins a commit of a hub
    model. `window` overrides the model's own context window. `dtype=auto` takes float32 on a CPU and the checkpoint's
    own format elsewhere. `rope` overrides parameters of the rotary embedding by their names in transformers'
    `rope_parameters`: YaRN (arXiv 2309.00071) is `rope_type: yarn` with `factor` and
    `original_max_position_embeddings`; another `rope` has another window, so it needs `window`.
    `parallel` is the number of GPUs over which one model is spread.
    """

    path: str
    revision: str | None = None
    window: int | None = None
    dtype: str = "auto"
    trust_remote_code: bool = False
    rope: dict[str, Any] | None = None
    parallel: int = 1

    def __post_init__(self) -> None:
        if self.parallel < 1:
            raise ScbenchError(f"model.parallel={self.parallel}: expected at least 1 device")
        if self.dtype not in DTYPES:
            raise ScbenchError(f"model.dtype={self.dtype}: expected one of {', '.join(DTYPES)}")
        if self.rope is not None and "rope_type" not in self.rope:
            raise ScbenchError("model.rope: needs rope_type, such as {rope_type: yarn, factor: 4.0}")
        if self.rope is not None and self.window is None:
            raise ScbenchError("model.rope: changes how far the model reads; set model.window too")


@dataclass(frozen=True)
class ModelText:
    """What asking a model and reading its answers takes, which is all but its weights.

    `window` is its context window in tokens, `stop` the token ids with which its generation settings end an answer,
    `commit` the hub's commit it came from, if any.
    """

    tokenizer: PreTrainedTokenizerBase
    window: int
    stop: frozenset[int]
    commit: str

    def text(self, tokens: tuple[int, ...]) -> str:
        """Token ids as text, without special tokens."""
        decoded: str = self.tokenizer.decode(list(tokens), skip_special_tokens=True)
        return decoded


@dataclass(frozen=True)
class LoadedModel(ModelText):
    """A model in memory, and what asking it takes."""

    model: PreTrainedModel


def identity(config: ModelConfig, option: str = "model.path") -> dict[str, str]:
    """What distinguishes this model's numbers from another's; part of every cell's fingerprint.

    Hub models are identified by id and revision (pin it: without one the id alone counts, and the commit is
    recorded with each result). Raises ScbenchError, which names the `option` that said so, if the model cannot exist.
    """
    if embedded.is_embedded(config.path):
        return embedded.identity(config.path)
    if random_weights.is_random(config.path):
        return random_weights.identity(config.path)
    folder = Path(config.path)
    if folder.is_dir():
        return _folder_identity(folder)
    if is_local(config.path):
        raise ScbenchError(f"{option}={config.path}: no such folder")
    return {"hub": config.path, "revision": config.revision or "main"}


def load_tokenizer(config: ModelConfig) -> PreTrainedTokenizerBase:
    """The model's tokenizer; raises ScbenchError naming what is missing."""
    from transformers import AutoTokenizer

    with explained(f"model.path={config.path}"):
        return AutoTokenizer.from_pretrained(
            _source(config),
            revision=config.revision,
            trust_remote_code=config.trust_remote_code,
            model_max_length=10**9,  # texts are counted here, the window is kept elsewhere: no warning about it
        )


def window(config: ModelConfig) -> int:
    """The model's context window in tokens, from its configuration alone; raises ScbenchError as `load` does."""
    if config.window is not None:
        return config.window
    own = getattr(settings(config).get_text_config(), "max_position_embeddings", None)
    if own is None:
        raise ScbenchError(f"model.path={config.path}: its configuration names no context window; set model.window")
    return int(own)


def settings(config: ModelConfig) -> PretrainedConfig:
    """The model's own configuration, with `rope` in it; raises ScbenchError as `load` does."""
    from transformers import AutoConfig

    with explained(f"model.path={config.path}"):
        found = AutoConfig.from_pretrained(
            _source(config), revision=config.revision, trust_remote_code=config.trust_remote_code
        )
        if config.rope is not None:
            _set_rope(config.path, config.rope, found.get_text_config())
    return found


def _set_rope(path: str, rope: dict[str, Any], text: Any) -> None:
    """Give the configuration of a language model the parameters `rope` of its rotary embedding."""
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    known, own = {"default", *ROPE_INIT_FUNCTIONS}, getattr(text, "rope_parameters", None)
    if not own or "rope_type" not in own:
        raise ScbenchError(f"model.rope: {path} has not one rotary embedding for all its layers")
    merged = {**own, **rope}
    if merged["rope_type"] not in known:
        raise ScbenchError(f"model.rope: rope_type={merged['rope_type']}: {hint(str(merged['rope_type']), known)}")
    text.rope_parameters = merged
    text.standardize_rope_params()
    text.validate_rope()


def load(config: ModelConfig, *devices: torch.device) -> LoadedModel:
    """Weights from safetensors on a device, or spread over several, in evaluation mode, attention left to the engine.

    Raises `ScbenchError` where the model has fewer layers than there are devices.
    """
    import torch
    from transformers import AutoModelForCausalLM

    from scbench.models import placement

    own = settings(config)
    dtype: Any = "auto" if config.dtype == "auto" else getattr(torch, config.dtype)
    if config.dtype == "auto" and devices[0].type == "cpu":
        dtype = torch.float32
    with explained(f"model.path={config.path}"):
        placed = None if len(devices) == 1 else placement.of(own, devices, config.trust_remote_code)
        model = AutoModelForCausalLM.from_pretrained(
            _source(config),
            config=own,
            revision=config.revision,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=config.trust_remote_code,
            device_map=placed,
        )
    if placed is None:
        model.to(devices[0])
        if devices[0].type == "cpu":
            logging.getLogger("transformers.integrations.hub_kernels").addFilter(_of_use_on_a_cpu)
    else:
        placement.join(model, placed)
    model.eval().requires_grad_(False)
    commit = getattr(own, "_commit_hash", None) or ""
    stop = _stop(model.generation_config.eos_token_id)
    return LoadedModel(load_tokenizer(config), window(config), stop, commit, model)


def _of_use_on_a_cpu(said: logging.LogRecord) -> bool:
    """Not the advice to install kernels for states, which are for GPUs; transformers' own loops are meant there."""
    return "is falling back to its reference PyTorch implementation" not in said.getMessage()


def load_text(config: ModelConfig) -> ModelText:
    """The model without its weights, for an engine that loads them itself; raises ScbenchError as `load` does."""
    from transformers import GenerationConfig

    own = settings(config)
    source = _source(config)
    try:
        generation = GenerationConfig.from_pretrained(source, revision=config.revision)
    except OSError:  # it has none of its own: transformers makes it of the model's settings, for `load` too
        generation = GenerationConfig.from_model_config(own)
    commit = getattr(own, "_commit_hash", None) or ""
    return ModelText(load_tokenizer(config), window(config), _stop(generation.eos_token_id), commit)


def place(config: ModelConfig) -> str:
    """Where the model's files are: a folder, which is made first where it does not come as one, or a hub's id."""
    return _source(config)


def _stop(eos: int | list[int] | None) -> frozenset[int]:
    if eos is None:
        return frozenset()
    return frozenset(eos if isinstance(eos, list) else [eos])


def _source(config: ModelConfig) -> str:
    if embedded.is_embedded(config.path):
        return str(embedded.ensure(config.path))
    return str(random_weights.ensure(config.path)) if random_weights.is_random(config.path) else config.path


def is_local(path: str) -> bool:
    """Hub ids look like `name` or `owner/name`; anything else can only be a path."""
    return path.startswith((".", "/", "~")) or path.count("/") > 1


class explained:
    """Turn the many ways in which a model can be missing or broken into one line that begins with the `setting`."""

    def __init__(self, setting: str) -> None:
        self.setting = setting

    def __enter__(self) -> None:
        from transformers.utils import logging

        logging.disable_progress_bar()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, (OSError, ValueError, KeyError)):
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise ScbenchError(
                f"{self.setting}: cannot be loaded ({first}); run `scbench fetch` with the same overrides "
                "where there is a network, or give a folder with safetensors"
            ) from error


def _folder_identity(folder: Path) -> dict[str, str]:
    """Hashes of all small files, and of each safetensors file's bytes (cached by size and time)."""
    small = sorted(p for p in folder.iterdir() if p.suffix in {".json", ".jinja", ".model", ".txt"})
    text = hashlib.sha256()
    for path in small:
        text.update(path.name.encode() + b"\0" + path.read_bytes())
    weights = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        weights.update(path.name.encode() + b"\0" + remembered_sha256(path).encode())
    return {"files": text.hexdigest()[:16], "weights": weights.hexdigest()[:16]}
