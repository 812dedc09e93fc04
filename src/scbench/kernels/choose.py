"""Pick the kernels for a device, a number format and a soft cap, by capability, and remember which ones ran."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from scbench.errors import ScbenchError
from scbench.kernels import blockwise, quantised, reference, sparse_prefill, torch_cpu
from scbench.kernels.cpp import dequant_decode
from scbench.kernels.packing import PackedKeys, PackedValues, unpack_keys, unpack_values
from scbench.kernels.plans import Plan
from scbench.kernels.spec import Partial

STOREYS = ("auto", "reference")
FEW = 64  # rows, up to which the fused kernel is faster than making whole blocks float


class Kernels:
    """The kernels of one run. `used` holds the names of those that were really called.

    `storey="auto"` takes the fastest eligible kernel; `storey="reference"` the plain one everywhere. `built` is the
    folder of compiled kernels (made there if a compiler is found); without one there are none. What calls them
    gives a scale only: whoever knows that a layer caps its scores hands down the kernels `under` that cap.
    """

    def __init__(
        self, device: torch.device, dtype: torch.dtype, storey: str = "auto", built: Path | None = None
    ) -> None:
        if storey not in STOREYS:
            raise ScbenchError(f"engine.kernels={storey}: expected one of {', '.join(STOREYS)}")
        plain = storey == "reference"
        self._kind = (device, dtype, storey, built)
        usable = built is not None and storey == "auto" and device.type == "cpu" and dequant_decode.available(built)
        self._cpp = built if usable else None
        self._plain: Callable[..., Partial] = reference.attend if plain else blockwise.attend
        self._plain_name = reference.NAME if plain else blockwise.NAME
        self._flash = storey == "auto" and torch_cpu.eligible(device, dtype)
        self._softcap: float | None = None
        self._siblings: dict[float | None, Kernels] = {None: self}
        self.used: set[str] = set()

    def under(self, softcap: float | None) -> Kernels:
        """The kernels that cap scores at `softcap` (None: not at all); they share `used`."""
        if softcap not in self._siblings:
            device, dtype, *_ = self._kind
            sibling = Kernels(*self._kind)
            sibling._softcap, sibling._siblings, sibling.used = softcap, self._siblings, self.used
            sibling._flash = self._siblings[None]._flash and torch_cpu.eligible(device, dtype, softcap)
            self._siblings[softcap] = sibling
        return self._siblings[softcap]

    def full(self, q_GND: Tensor, k_GLD: Tensor, v_GLD: Tensor, scale: float) -> Partial:
        """Every row sees every key."""
        if self._flash:
            self.used.add(torch_cpu.NAME)
            return torch_cpu.attend(q_GND, k_GLD, v_GLD, scale)
        return self._attend(q_GND, k_GLD, v_GLD, None, scale)

    def masked(self, q_GND: Tensor, k_GLD: Tensor, v_GLD: Tensor, mask_GNL: Tensor, scale: float) -> Partial:
        """Rows see the keys where the mask is True; a row may see none."""
        return self._attend(q_GND, k_GLD, v_GLD, mask_GNL, scale)

    def quantised(
        self, q_GND: Tensor, keys: PackedKeys, values: PackedValues | None, v_GkD: Tensor | None, scale: float
    ) -> Partial:
        """Every row sees every rounded key; the values are rounded, or the last ones still exact (`v_GkD`).

        Fused where there is something rounded on both sides and no cap; otherwise made float again first.
        """
        if values is not None and self._flash:
            if self._cpp is not None and q_GND.shape[1] <= FEW and dequant_decode.eligible(q_GND, keys, values):
                self.used.add(dequant_decode.NAME)
                return dequant_decode.attend(q_GND, keys, values, v_GkD, scale, self._cpp)
            self.used.add(quantised.NAME)
            return quantised.attend(q_GND, keys, values, v_GkD, scale)
        k_GLD = unpack_keys(keys, q_GND.dtype)
        rounded = [] if values is None else [unpack_values(values, q_GND.dtype)]
        return self.full(q_GND, k_GLD, torch.cat([*rounded, *([] if v_GkD is None else [v_GkD])], dim=1), scale)

    def planned(
        self, q_HTD: Tensor, k_GLD: Tensor, v_GLD: Tensor, plan: Plan, scale: float, start: int, total: int
    ) -> Tensor:
        """Rows [start, start + T) of a prompt of `total` tokens read what the plan says: `out_HTD`."""
        self.used.add(sparse_prefill.NAME)
        return sparse_prefill.attend(q_HTD, k_GLD, v_GLD, plan, scale, start, total)

    def causal(self, q_HTD: Tensor, k_GTD: Tensor, v_GTD: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        """T tokens over themselves: `(out_HTD, lse_HT)`; token t sees tokens 0 to t."""
        if self._flash:
            self.used.add(torch_cpu.NAME)
            return torch_cpu.attend_causal(q_HTD, k_GTD, v_GTD, scale)
        heads, tokens, dim = q_HTD.shape
        groups = heads // k_GTD.shape[0]
        q_GND = q_HTD.reshape(k_GTD.shape[0], groups * tokens, dim)
        mask_TT = torch.ones(tokens, tokens, dtype=torch.bool, device=q_HTD.device).tril()
        out_GND, lse_GN = self._attend(q_GND, k_GTD, v_GTD, mask_TT.repeat(groups, 1).unsqueeze(0), scale)
        return out_GND.reshape(heads, tokens, dim), lse_GN.reshape(heads, tokens)

    def _attend(self, q_GND: Tensor, k_GLD: Tensor, v_GLD: Tensor, mask_GNL: Tensor | None, scale: float) -> Partial:
        self.used.add(self._plain_name)
        return self._plain(q_GND, k_GLD, v_GLD, mask_GNL, scale, self._softcap)
