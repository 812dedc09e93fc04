"""Prefill of the trunk, and greedy answers of its branches as one batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scbench.engine.adapter import Adapter
from scbench.engine.attention import BranchAttention
from scbench.engine.tails import Tails
from scbench.engine.trunk import Trunk
from scbench.kernels.choose import Kernels
from scbench.modes import Branch


class Deadline:
    """A point in time after which the work gives up with TimeoutError; without seconds there is none."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._end = None if seconds is None else time.monotonic() + seconds

    def check(self) -> None:
        """Raise TimeoutError if the time is over."""
        if self._end is not None and time.monotonic() > self._end:
            raise TimeoutError(f"engine.timeout={self._seconds} s is over")


@dataclass(frozen=True)
class Answer:
    """Greedy tokens without the stop token, and why they end: `stop` or `length`."""

    tokens: tuple[int, ...]
    stopped: str


Report = Callable[[int, int], None]  # (tokens done, tokens in all)


class Decoder:
    """A model and its kernels, set to prefill spans of a trunk and to answer its branches."""

    def __init__(self, adapter: Adapter, kernels: Kernels, chunk: int) -> None:
        self.adapter = adapter
        self.kernels = kernels
        self._chunk = chunk

    def extend(
        self,
        trunk: Trunk,
        ids: Sequence[int],
        points: Sequence[int],
        first_leave: int,
        deadline: Deadline,
        report: Report,
    ) -> None:
        """Prefill `ids` behind the trunk, over its own segments; no chunk crosses a point (trunk positions).

        `first_leave` is the earliest position at which a branch leaves: sliding-window layers keep what such a
        branch needs, and forget the rest.
        """
        start, end = trunk.length, trunk.length + len(ids)
        stops = sorted({point for point in points if start < point < end} | {end})
        at = start
        for stop in stops:
            while at < stop:
                deadline.check()
                upto = min(at + self._chunk, stop)
                self._append(trunk, ids[at - start : upto - start])
                trunk.trim(first_leave)
                at = upto
                report(at - start, len(ids))

    def answer(
        self,
        trunk: Trunk,
        branches: Sequence[Branch],
        stop: frozenset[int],
        deadline: Deadline,
        report: Report,
    ) -> list[Answer]:
        """Every branch's greedy answer, decoded together; a finished branch leaves the batch."""
        if not branches:
            return []
        logits_BV, tails = self._open(trunk, branches)
        alive = list(range(len(branches)))
        tokens: list[list[int]] = [[] for _ in branches]
        answers: dict[int, Answer] = {}
        longest = max(branch.max_new_tokens for branch in branches)
        for done in range(longest):
            deadline.check()
            going: list[int] = []
            for row, token in enumerate(logits_BV.argmax(dim=-1).tolist()):
                branch = alive[row]
                if token in stop:
                    answers[branch] = Answer(tuple(tokens[branch]), "stop")
                    continue
                tokens[branch].append(token)
                if len(tokens[branch]) == branches[branch].max_new_tokens:
                    answers[branch] = Answer(tuple(tokens[branch]), "length")
                    continue
                going.append(row)
            report(done + 1, longest)
            if not going:
                break
            if len(going) < len(alive):
                tails.keep(going)
                alive = [alive[row] for row in going]
            logits_BV = self._step(trunk, tails, [branches[b] for b in alive], [tokens[b][-1:] for b in alive])
        return [answers[branch] for branch in range(len(branches))]

    def _append(self, trunk: Trunk, ids: Sequence[int]) -> None:
        """One chunk as a branch of the trunk whose tail is then made part of it."""
        tails = Tails(trunk.shape.layers, [0], len(ids))
        chunk = Branch(turn=0, leaves=trunk.length, suffix=tuple(ids), max_new_tokens=0)
        logits_BV = self._step(trunk, tails, [chunk], [list(ids)])
        trunk.append(ids, [(k_BGTD[0], v_BGTD[0]) for k_BGTD, v_BGTD in tails.layers()], logits_BV[0])

    def _open(self, trunk: Trunk, branches: Sequence[Branch]) -> tuple[Tensor, Tails]:
        """The logits of each branch's first answer token, and its tail: the suffix, or nothing yet."""
        suffixes = [list(branch.suffix) for branch in branches]
        width = max(map(len, suffixes))
        pad = [width - len(suffix) for suffix in suffixes]
        tails = Tails(trunk.shape.layers, pad, width + max(branch.max_new_tokens for branch in branches))
        if width == 0:
            return torch.stack([trunk.logits[branch.leaves] for branch in branches]), tails
        if not all(suffixes):
            raise ValueError("branches with and without a suffix do not share a batch")
        return self._step(trunk, tails, branches, suffixes), tails

    def _step(self, trunk: Trunk, tails: Tails, branches: Sequence[Branch], new: Sequence[Sequence[int]]) -> Tensor:
        """The next tokens of each branch, left-padded to one width; logits after the last one: `[B, V]`."""
        width = max(map(len, new))
        device = trunk.shape.device
        ids = [[0] * (width - len(tokens)) + list(tokens) for tokens in new]
        ids_BT = torch.tensor(ids, dtype=torch.long, device=device)
        column = tails.width
        leaves = [branch.leaves for branch in branches]
        first_B1 = torch.tensor(
            [leave + column - pad for leave, pad in zip(leaves, tails.pad, strict=True)], device=device
        )[:, None]
        # Padding before a branch's first token has no position of its own: any valid one will do.
        position_BT = torch.maximum(
            first_B1 + torch.arange(width, device=device), torch.tensor(leaves, device=device)[:, None]
        )
        attend = BranchAttention(trunk, tails, leaves, position_BT, self.kernels)
        logits_BV = self.adapter.forward(ids_BT, position_BT, attend)
        tails.width += width
        return logits_BV
