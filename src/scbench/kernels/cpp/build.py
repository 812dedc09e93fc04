"""Compile the C++ kernels for this processor, once, into a folder that later runs share.

The source is plain C++ with a C interface, so it needs neither torch's headers nor ninja and compiles in seconds.
The library's name holds a hash of the sources, the compiler and the processor: a folder that machines of different
kinds share holds one library for each.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCES = tuple(Path(__file__).with_name(name) for name in ("dequant_decode.cpp", "levels.cpp", "paged_decode.cpp"))
HEADERS = (Path(__file__).with_name("numbers.h"),)
FLAGS = ("-std=c++17", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fopenmp", "-fPIC", "-shared")
PATIENCE = 120  # seconds that compiling may take


@functools.cache
def library(folder: Path) -> ctypes.CDLL | None:
    """The compiled kernels, kept in `folder`; None where they cannot be built or loaded."""
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        return None
    try:
        return ctypes.CDLL(str(_built(folder, compiler)))
    except (OSError, subprocess.SubprocessError):
        return None


def _built(folder: Path, compiler: str) -> Path:
    version = subprocess.run([compiler, "--version"], capture_output=True, check=True, timeout=PATIENCE).stdout
    parts = (
        *(source.read_bytes() for source in (*SOURCES, *HEADERS)),
        " ".join((compiler, *FLAGS)).encode(),
        version,
        _processor(),
    )
    target = folder / f"scbench_kernels_{hashlib.sha256(b'|'.join(parts)).hexdigest()[:16]}.so"
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".building-") as scratch:
        made = Path(scratch) / target.name
        command = [compiler, *FLAGS, *map(str, SOURCES), "-o", str(made)]
        subprocess.run(command, capture_output=True, check=True, timeout=PATIENCE)
        made.replace(target)  # whole or not at all; another process may have been faster
    return target


def _processor() -> bytes:
    """What `-march=native` depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor().encode()
    kinds = ("vendor_id", "cpu family", "model", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in lines if line.split("\t")[0].split(":")[0].strip() in kinds})).encode()
