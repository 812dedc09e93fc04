"""Branches that see a dense segment to different places, in one pass under a mask or in two."""

import pytest
import torch

from scbench.kernels import reference
from scbench.kernels.choose import Kernels
from scbench.kernels.spec import Spec, Visible
from scbench.segments import dense
from scbench.segments.dense import DenseSegment


@pytest.mark.parametrize("short", [0, 1000])
@pytest.mark.parametrize("storey", ["auto", "reference"])
def test_each_row_sees_its_own_stretch(monkeypatch, short, storey):
    monkeypatch.setattr(dense, "SHORT", short)
    generator = torch.Generator().manual_seed(1)
    q, k, v = (torch.randn(2, n, 8, generator=generator) for n in (5, 40, 40))
    low, high = torch.tensor([7, 9, 7, 12, 20]), torch.tensor([30, 47, 41, 25, 44])
    place = torch.arange(7, 47)
    mask = (place >= low[:, None]) & (place < high[:, None])
    kernels = Kernels(torch.device("cpu"), torch.float32, storey)
    part = DenseSegment(7, k, v).attend(q, Visible.of(low, high), Spec(0.3), kernels)
    wanted = reference.attend(q, k, v, mask[None], 0.3)
    torch.testing.assert_close(part.out_GND, wanted.out_GND, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(part.lse_GN, wanted.lse_GN, atol=1e-5, rtol=1e-5)
