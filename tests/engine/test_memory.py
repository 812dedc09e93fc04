"""The peak of memory is that of the stretch of work alone."""

import pytest
import torch

from scbench.engine.memory import PeakMemory

MIB = 2**20


def test_a_peak_is_seen_and_forgotten():
    before = PeakMemory(torch.device("cpu"))
    if before.bytes() is None:
        pytest.skip("this system does not tell the peak of memory")
    base = before.bytes()
    held = torch.ones(64 * MIB // 4)
    assert before.bytes() >= base + 60 * MIB
    del held
    assert before.bytes() >= base + 60 * MIB
    assert PeakMemory(torch.device("cpu")).bytes() < base + 30 * MIB


def test_a_system_that_does_not_tell_is_no_error(monkeypatch, tmp_path):
    monkeypatch.setattr("scbench.engine.memory._RESET", tmp_path / "missing" / "clear_refs")
    assert PeakMemory(torch.device("cpu")).bytes() is None
