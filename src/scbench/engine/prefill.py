"""Sparse prefill: the base's attention as a method's plans, executed by kernels."""

from __future__ import annotations

from torch import Tensor

from scbench.engine.adapter import Call
from scbench.engine.trunk import Trunk
from scbench.errors import ScbenchError
from scbench.kernels.choose import Kernels
from scbench.kernels.plans import Band, Plan
from scbench.kernels.sparse_prefill import density
from scbench.methods.base import Layer, Method, Prompt


class PlanAttention:
    """The attention of one forward pass over rows [start, stop) of a prompt of `total` tokens, called once per layer.

    The new keys and values join the trunk's open segments before they are read, so that a plan speaks of one stretch
    of keys. `density` gathers, per layer, what share of the causal entries was computed.
    """

    def __init__(self, trunk: Trunk, method: Method, total: int, kernels: Kernels) -> None:
        self._trunk = trunk
        self._method = method
        self._total = total
        self._kernels = kernels
        self._start = trunk.length
        self.computed: dict[int, float] = {}  # causal entries per layer

    def __call__(self, layer: int, q_BHTD: Tensor, k_BGTD: Tensor, v_BGTD: Tensor, call: Call) -> Tensor:
        """The layer's attention output `[1, T, H, D]`."""
        if call.softcap is not None or call.sinks_H is not None:
            raise ScbenchError(
                "no sparse prefill kernel has soft-capped scores or attention sinks, which this model needs"
            )
        scale = call.scale
        opened, q_HTD = self._trunk.latest(layer), q_BHTD[0]
        opened.append(k_BGTD[0], v_BGTD[0])
        window = self._trunk.shape.windows[layer]
        plan: Plan | None
        if window is not None:
            plan = Band(0, window)
        else:
            where = Layer(layer, self._trunk.shape.layers, self._trunk.shape.group)
            prompt = Prompt(q_HTD, opened.k_GLD, self._start, self._total, scale)
            plan = self._method.prefill(prompt, where) if self._method.acts_on(where) else None
            stop = self._start + q_HTD.shape[1]
            causal = (stop * (stop + 1) - self._start * (self._start + 1)) / 2
            share = 1.0 if plan is None else density(plan, self._start, stop, self._total)
            self.computed[layer] = causal * share
        plan = plan or Band(0, self._total)
        start, total = self._start - opened.start, self._total - opened.start  # a window may have let go of the first
        out_HTD = self._kernels.planned(q_HTD, opened.k_GLD, opened.v_GLD, plan, scale, start, total)
        return out_HTD.transpose(0, 1).unsqueeze(0)
