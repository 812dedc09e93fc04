"""The product the other way round is the same product."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from scbench.kernels import few_rows


@settings(max_examples=40, deadline=None)
@given(
    shape=st.lists(st.integers(0, 7), min_size=1, max_size=3),
    inner=st.integers(1, 17),
    outer=st.integers(1, 9),
    bias=st.booleans(),
)
def test_equals_linear_for_any_shape(shape, inner, outer, bias):
    x, weight = torch.randn(*shape, inner, dtype=torch.float64), torch.randn(outer, inner, dtype=torch.float64)
    offset = torch.randn(outer, dtype=torch.float64) if bias else None
    torch.testing.assert_close(few_rows.linear(x, weight, offset), F.linear(x, weight, offset))


def test_only_float32_layers_on_the_cpu_are_changed():
    model = nn.ModuleDict({"a": nn.Linear(3, 4), "b": nn.Linear(3, 4).to(torch.bfloat16), "c": nn.LayerNorm(3)})
    few_rows.install(model)
    assert [name for name, module in model.items() if "forward" in vars(module)] == ["a"]
    x = torch.randn(5, 3)
    torch.testing.assert_close(model["a"](x), F.linear(x, model["a"].weight, model["a"].bias))


@pytest.mark.parametrize("rows", [few_rows.LEAST, few_rows.MOST])
def test_a_few_rows_do_not_take_the_slow_way(rows, monkeypatch):
    monkeypatch.setattr(few_rows.F, "linear", lambda *_: pytest.fail("F.linear was called"))
    few_rows.linear(torch.randn(rows, 3), torch.randn(4, 3), None)
