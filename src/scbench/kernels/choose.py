"""Pick the kernels for a device, a number format and a soft cap, by capability, and remember which ones ran."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from scbench.errors import ScbenchError
from scbench.kernels import (
    blockwise,
    by_head,
    codes,
    masked,
    paged,
    quantised,
    reference,
    sparse_prefill,
    torch_cpu,
    torch_cuda,
    triton,
)
from scbench.kernels.cpp import dequant_decode
from scbench.kernels.cpp import levels as cpp_levels
from scbench.kernels.cpp import paged_decode as cpp_paged
from scbench.kernels.merge import merge
from scbench.kernels.packing import PackedKeys, PackedValues, unpack_keys, unpack_values
from scbench.kernels.plans import ByHead, Plan, Simple, VerticalSlash
from scbench.kernels.spec import Partial
from scbench.kernels.storeys import AUTO, FLEX, REFERENCE, STOREYS, TRITON

GATHERING = 16  # how much longer a token takes that is gathered for a list of pages, than one row under a mask
FEW = 64  # rows, up to which a fused kernel is faster than making whole blocks float
FEW_CPP = 1024  # the same for the one in C++
KeysValues = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class _Kind:
    """What decides which kernels are eligible."""

    device: torch.device
    dtype: torch.dtype
    storey: str
    built: Path | None


class Kernels:
    """The kernels of one run. `used` holds the names of those that were really called.

    `storey="auto"` takes the fastest eligible kernel; `reference` the plain one everywhere, `torch` none that is
    compiled, `flex` FlexAttention for planned prefills, `triton` Triton's wherever there is one. `built` is the folder
    of kernels compiled from C++ (made there if a compiler is found); without one there are none. What calls them gives
    a scale only: whoever knows that a layer caps its scores hands down the kernels `under` that cap. Raises
    `ScbenchError` where a storey that is asked for cannot run here.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype, storey: str = AUTO, built: Path | None = None) -> None:
        self._kind = _Kind(device, dtype, storey, built)
        _check(self._kind)
        self._plain: Callable[..., Partial] = reference.attend if storey == REFERENCE else blockwise.attend
        self._plain_name = reference.NAME if storey == REFERENCE else blockwise.NAME
        self._flash = _flash(self._kind, None)
        compiles = built is not None and storey in (AUTO, FLEX) and device.type == "cpu"
        self._cpp = built if compiles and built is not None and dequant_decode.available(built) else None
        self._triton = storey == TRITON or (storey == AUTO and device.type == "cuda" and triton.available())
        self._softcap: float | None = None
        self._siblings: dict[float | None, Kernels] = {None: self}
        self.used: set[str] = set()

    def under(self, softcap: float | None) -> Kernels:
        """The kernels that cap scores at `softcap` (None: not at all); they share `used`."""
        if softcap not in self._siblings:
            kind = self._kind
            sibling = Kernels(kind.device, kind.dtype, kind.storey, kind.built)
            sibling._softcap, sibling._siblings, sibling.used = softcap, self._siblings, self.used
            sibling._flash, sibling._triton = _flash(kind, softcap), False
            self._siblings[softcap] = sibling
        return self._siblings[softcap]

    def taken(self) -> frozenset[str]:
        """Which kernels have run since this was asked before."""
        names = frozenset(self.used)
        self.used.clear()
        return names

    def full(self, q_GND: Tensor, k_GLD: Tensor, v_GLD: Tensor, scale: float) -> Partial:
        """Every row sees every key."""
        if self._flash is not None:
            self.used.add(self._flash.NAME)
            part: Partial = self._flash.attend(q_GND, k_GLD, v_GLD, scale)
            return part
        return self._attend(q_GND, k_GLD, v_GLD, None, scale)

    def masked(self, q_GND: Tensor, k_GLD: Tensor, v_GLD: Tensor, mask_GNL: Tensor, scale: float) -> Partial:
        """Rows see the keys where the mask is True; a row may see none."""
        if self._flash is torch_cpu:
            self.used.add(masked.NAME)
            return masked.attend(q_GND, k_GLD, v_GLD, mask_GNL, scale)
        return self._attend(q_GND, k_GLD, v_GLD, mask_GNL, scale)

    def pages(self, q_GND: Tensor, parts: Sequence[KeysValues], page_GXK: Tensor, size: int, scale: float) -> Partial:
        """Rows see all tokens of their pages of `size` tokens: N / X rows in a row share a list; -1 is unused.

        `parts` are keys and values `[G, L, D]` of stretches that follow one another, and pages are counted from the
        first of their tokens. The last page may be short.
        """
        if self._cpp is not None and self._softcap is None and cpp_paged.eligible(q_GND, parts):
            self.used.add(cpp_paged.NAME)
            return cpp_paged.attend(q_GND, parts, page_GXK, size, scale, self._cpp)
        (k_GLD, v_GLD), *others = parts
        whole = k_GLD.shape[1] // size
        found, cut = [], whole * size
        if whole:
            inside_GXK = page_GXK.masked_fill(page_GXK >= whole, -1)
            found.append(self._whole_pages(q_GND, k_GLD[:, :cut], v_GLD[:, :cut], inside_GXK, size, scale))
        rest = [(k_GLD[:, cut:], v_GLD[:, cut:]), *others]
        if any(k.shape[1] for k, _ in rest):  # little, and read under a mask
            k_GLD, v_GLD = (torch.cat(some, dim=1) for some in zip(*rest, strict=True))
            mask_GNL = paged.mask(page_GXK - whole, size, q_GND.shape[1], k_GLD.shape[1])
            found.append(self.masked(q_GND, k_GLD, v_GLD, mask_GNL, scale))
        return merge(found)

    def quantised(
        self, q_GND: Tensor, keys: PackedKeys, values: PackedValues | None, v_GkD: Tensor | None, scale: float
    ) -> Partial:
        """Every row sees every rounded key; the values are rounded, or the last ones still exact (`v_GkD`).

        Fused where there is no cap (outside C++ also: where some values are rounded); otherwise made float again first.
        """
        if self._softcap is None and self._kind.storey != REFERENCE:
            if self._cpp is not None and q_GND.shape[1] <= FEW_CPP and dequant_decode.eligible(q_GND, keys, values):
                self.used.add(dequant_decode.NAME)
                return dequant_decode.attend(q_GND, keys, values, v_GkD, scale, self._cpp)
            if self._triton and values is not None and q_GND.shape[1] <= FEW:
                from scbench.kernels.triton import dequant_decode as fused

                self.used.add(fused.NAME)
                return fused.attend(q_GND, keys, values, v_GkD, scale)
            if self._flash is not None and values is not None:
                self.used.add(quantised.NAME)
                return quantised.attend(q_GND, keys, values, v_GkD, scale)
        k_GLD = unpack_keys(keys, q_GND.dtype)
        rounded = [] if values is None else [unpack_values(values, q_GND.dtype)]
        return self.full(q_GND, k_GLD, torch.cat([*rounded, *([] if v_GkD is None else [v_GkD])], dim=1), scale)

    def levels(self, packed_Gnb: Tensor, bits: int, level_C: Tensor, dim: int) -> Tensor:
        """The numbers `[G, n, dim]` that packed codes stand for: `level_C[code]`, float32."""
        if self._cpp is not None:
            self.used.add(cpp_levels.NAME)
            return cpp_levels.levels(packed_Gnb, bits, level_C, dim, self._cpp)
        return codes.levels(packed_Gnb, bits, level_C, dim)

    def planned(
        self, q_HTD: Tensor, k_GLD: Tensor, v_GLD: Tensor, plan: Plan, scale: float, start: int, total: int
    ) -> Tensor:
        """Rows [start, start + T) of a prompt of `total` tokens read what the plan says: `out_HTD`."""
        if self._kind.storey == REFERENCE:
            self.used.add(reference.NAME)
            return reference.planned(q_HTD, k_GLD, v_GLD, plan, scale, start, total)
        if isinstance(plan, ByHead):
            return by_head.attend(
                *(q_HTD, k_GLD, v_GLD, plan), lambda q, k, v, part: self.planned(q, k, v, part, scale, start, total)
            )
        kernel = self._plan_kernel(plan)
        self.used.add(kernel.NAME)
        out_HTD: Tensor = kernel.attend(q_HTD, k_GLD, v_GLD, plan, scale, start, total)
        return out_HTD

    def causal(self, q_HTD: Tensor, k_GTD: Tensor, v_GTD: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        """T tokens over themselves: `(out_HTD, lse_HT)`; token t sees tokens 0 to t."""
        if self._flash is not None:
            self.used.add(self._flash.NAME)
            found: tuple[Tensor, Tensor] = self._flash.attend_causal(q_HTD, k_GTD, v_GTD, scale)
            return found
        heads, tokens, dim = q_HTD.shape
        groups = heads // k_GTD.shape[0]
        q_GND = q_HTD.reshape(k_GTD.shape[0], groups * tokens, dim)
        mask_TT = torch.ones(tokens, tokens, dtype=torch.bool, device=q_HTD.device).tril()
        out_GND, lse_GN = self._attend(q_GND, k_GTD, v_GTD, mask_TT.repeat(groups, 1).unsqueeze(0), scale)
        return out_GND.reshape(heads, tokens, dim), lse_GN.reshape(heads, tokens)

    def _whole_pages(
        self, q_GND: Tensor, k_GLD: Tensor, v_GLD: Tensor, page_GXK: Tensor, size: int, scale: float
    ) -> Partial:
        if self._triton:
            from scbench.kernels.triton import paged_decode

            self.used.add(paged_decode.NAME)
            page_GNK = page_GXK.repeat_interleave(q_GND.shape[1] // page_GXK.shape[1], dim=1)
            return paged_decode.attend(q_GND, k_GLD, v_GLD, page_GNK, size, k_GLD.shape[1], scale)
        rows, tokens = q_GND.shape[1], k_GLD.shape[1]
        if rows > FEW and page_GXK[0].numel() * size * GATHERING > rows * tokens:
            self.used.add(paged.MASKED)
            return self.masked(q_GND, k_GLD, v_GLD, paged.mask(page_GXK, size, rows, tokens), scale)
        self.used.add(paged.NAME)
        return paged.attend(
            *(q_GND, k_GLD, v_GLD, page_GXK, size),
            lambda q, k, v: self.full(q, k, v, scale),
            lambda q, k, v, mask: self.masked(q, k, v, mask, scale),
        )

    def _plan_kernel(self, plan: Simple) -> ModuleType:
        """The module that executes a plan: Triton has columns and diagonals, flex gains for the others on a GPU."""
        kind = self._kind
        if self._triton and isinstance(plan, VerticalSlash):
            from scbench.kernels.triton import vertical_slash

            if vertical_slash.eligible(plan):
                return vertical_slash
        on_gpu = kind.device.type == "cuda" and kind.storey in (AUTO, TRITON)
        if kind.storey == FLEX or (on_gpu and not isinstance(plan, VerticalSlash)):
            from scbench.kernels import flex

            if flex.eligible(kind.device, kind.dtype):
                return flex
        return sparse_prefill

    def _attend(self, q_GND: Tensor, k_GLD: Tensor, v_GLD: Tensor, mask_GNL: Tensor | None, scale: float) -> Partial:
        self.used.add(self._plain_name)
        return self._plain(q_GND, k_GLD, v_GLD, mask_GNL, scale, self._softcap)


def _flash(kind: _Kind, softcap: float | None) -> ModuleType | None:
    """ATen's own flash attention of this device, where it has one."""
    if kind.storey == REFERENCE:
        return None
    return next((one for one in (torch_cpu, torch_cuda) if one.eligible(kind.device, kind.dtype, softcap)), None)


def _check(kind: _Kind) -> None:
    if kind.storey not in STOREYS:
        raise ScbenchError(f"engine.kernels={kind.storey}: expected one of {', '.join(STOREYS)}")
    if kind.storey == TRITON and not triton.available():
        raise ScbenchError("engine.kernels=triton: needs triton and a GPU; `scbench doctor` says what is here")
    if kind.storey == FLEX:
        from scbench.kernels import flex

        if not flex.eligible(kind.device, kind.dtype):
            raise ScbenchError("engine.kernels=flex: cannot compile here; a CPU needs g++, a GPU triton")
