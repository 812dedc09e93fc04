"""The highest memory use of a stretch of work: of the devices, or on a CPU of the whole process."""

from __future__ import annotations

from pathlib import Path

import torch

_RESET, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
_PEAK_ONLY = "5"  # what `man 5 proc` calls resetting the peak resident set size


class PeakMemory:
    """Highest bytes since `PeakMemory(device)`: allocated by torch on CUDA, resident in the process on a CPU.

    Of several devices it is the sum of each one's highest. Only one at a time tells the truth: a new one resets the
    system's counter.
    """

    def __init__(self, *devices: torch.device) -> None:
        self._on_gpus = [device for device in devices if device.type == "cuda"]
        self._known = True
        for device in self._on_gpus:
            torch.cuda.reset_peak_memory_stats(device)
        if not self._on_gpus:
            try:
                _RESET.write_text(_PEAK_ONLY)
            except OSError:  # no Linux, or a system that does not let us
                self._known = False

    def bytes(self) -> int | None:
        """The peak so far; None where the system does not tell."""
        if self._on_gpus:
            return sum(int(torch.cuda.max_memory_allocated(device)) for device in self._on_gpus)
        return _resident_peak() if self._known else None


def _resident_peak() -> int | None:
    for line in _STATUS.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None
