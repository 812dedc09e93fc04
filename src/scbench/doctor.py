"""What this machine can run: devices, kernels, packages, scheduler, models and disk."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from scbench.config.files import ROOT, find_conf
from scbench.models import embedded
from scbench.models.cache import cache_folder

CORE = ("snakemake", "hydra-core", "torch", "transformers", "pandas", "mlflow")
OPTIONAL = {
    "flash-attn": ("GPU attention", "pip install -r envs/gpu.txt"),
    "triton": ("GPU kernels", "pip install -r envs/gpu.txt"),
}


def findings() -> Iterator[str]:
    """One line per finding: `ok`, or `--` and the command that helps."""
    yield f"ok  python {platform.python_version()} ({sys.executable})"
    for name in CORE:
        found = _version(name)
        yield f"ok  {name} {found}" if found else f"--  {name} is missing: pip install -r envs/core.txt"
    for name, (use, command) in OPTIONAL.items():
        found = _version(name)
        yield f"ok  {name} {found} ({use})" if found else f"--  {name}, optional ({use}): {command}"
    yield from _engines()
    yield from _devices()
    yield from _scheduler()
    yield from _storage()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _engines() -> Iterator[str]:
    """Engines in an interpreter of their own, where their configuration looks for it."""
    from scbench.engines.kvpress import KvpressOptions
    from scbench.engines.vllm import VllmOptions
    from scbench.errors import ScbenchError

    for options in (VllmOptions(), KvpressOptions()):
        try:
            options.ready()
        except ScbenchError as error:
            yield f"--  engine={options.name}, optional: {error}"
        else:
            said = ", ".join(f"{name} {found}" for name, found in options.versions().items())
            yield f"ok  engine={options.name}: {said} ({options.python})"


def _devices() -> Iterator[str]:
    import torch

    from scbench.engine.memory import PeakMemory
    from scbench.kernels import torch_cpu
    from scbench.run.gpus import visible

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    yield f"ok  cpu: {os.cpu_count()} cores, {torch.get_num_threads()} threads, {memory:.0f} GiB of memory"
    fused = torch_cpu.eligible(torch.device("cpu"), torch.float32)
    yield f"ok  kernels on cpu: {'fused and blockwise' if fused else 'blockwise (this torch has no fused one)'}"
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        yield f"ok  cuda:{index}: {properties.name}, {properties.total_memory / 2**30:.0f} GiB"
    yield from _sharing(torch.cuda.device_count(), visible())
    if torch.cuda.is_available():
        yield "--  kernels on cuda have never run on a GPU: compare with engine.kernels=reference first"
    else:
        yield "--  no CUDA device that this torch can use: runs on the CPU (kernels for GPUs have never run on one)"
    if shutil.which("g++") is None:
        yield "--  g++, optional (faster decoding of rounded caches on the CPU): apt-get install g++"
    if PeakMemory(torch.device("cpu")).bytes() is None:
        yield "--  this system does not tell the peak of memory: records will lack peak_bytes"


def _sharing(seen: int, named: tuple[str, ...]) -> Iterator[str]:
    """How the GPUs that torch has seen are used, of those that jobs would be given by name."""
    if seen != len(named):
        yield (
            f"--  torch sees {seen} GPUs of {len(named)} that are there by name ({', '.join(named) or 'none'}): check "
            "the driver, and CUDA_VISIBLE_DEVICES"
        )
    elif seen > 1:
        yield f"ok  {seen} GPUs: `scbench sweep` has a family on each; model.parallel={seen} spreads a model over all"


def _scheduler() -> Iterator[str]:
    yield f"ok  configuration: {find_conf()}"
    for name, file in (("default", ROOT / "profiles/default"), ("slurm", ROOT / "profiles/slurm")):
        there = (file / "config.yaml").is_file()
        yield f"ok  profile {name}: {file}" if there else f"--  profile {name}: {file}/config.yaml is missing"
    if shutil.which("sbatch"):
        yield "ok  SLURM: snakemake --profile slurm"
    else:
        yield "--  no SLURM here (sbatch): snakemake runs on this machine"


def _storage() -> Iterator[str]:
    cache = cache_folder()
    models = cache / "models"
    for name in embedded.PACKAGES:
        there = any(models.glob(f"{name}-*/checksums.json"))
        yield f"ok  model {name}: {models}" if there else f"--  model {name} is fetched and converted at its first use"
    for what, folder in (("results", Path.cwd()), ("cache", cache)):
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        yield f"ok  disk for {what} ({folder}): {shutil.disk_usage(existing).free / 2**30:.0f} GiB free"
