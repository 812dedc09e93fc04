"""Prefill of the trunk, and greedy answers of its branches as one batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scbench.engine.adapter import Adapter
from scbench.engine.attention import BatchAttention
from scbench.engine.tails import Tails
from scbench.engine.trunk import Trunk
from scbench.engine.view import Row, View
from scbench.kernels.choose import Kernels


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

    def extend(self, trunk: Trunk, ids: Sequence[int], first_leave: int, deadline: Deadline, report: Report) -> None:
        """Prefill `ids` behind the trunk, over its own segments, in chunks.

        `first_leave` is the earliest position at which a branch leaves: sliding-window layers keep what such a
        branch needs, and forget the rest.
        """
        for at in range(0, len(ids), self._chunk):
            deadline.check()
            chunk = ids[at : at + self._chunk]
            self._append(trunk, chunk)
            trunk.trim(first_leave)
            report(at + len(chunk), len(ids))

    def answer(self, rows: Sequence[Row], stop: frozenset[int], deadline: Deadline, report: Report) -> list[Answer]:
        """Every row's greedy answer, decoded together; a finished branch leaves the batch."""
        if not rows:
            return []
        logits_BV, batch = self._open(rows)
        alive = list(range(len(rows)))
        tokens: list[list[int]] = [[] for _ in rows]
        answers: dict[int, Answer] = {}
        longest = max(row.max_new_tokens for row in rows)
        for done in range(longest):
            deadline.check()
            going: list[int] = []
            for place, token in enumerate(logits_BV.argmax(dim=-1).tolist()):
                row = alive[place]
                if token in stop:
                    answers[row] = Answer(tuple(tokens[row]), "stop")
                    continue
                tokens[row].append(token)
                if len(tokens[row]) == rows[row].max_new_tokens:
                    answers[row] = Answer(tuple(tokens[row]), "length")
                    continue
                going.append(place)
            report(done + 1, longest)
            if not going:
                break
            if len(going) < len(alive):
                alive = [alive[place] for place in going]
                batch = batch.only(going)
            logits_BV = self._step(batch, [tokens[row][-1:] for row in alive])
        return [answers[row] for row in range(len(rows))]

    def _append(self, trunk: Trunk, ids: Sequence[int]) -> None:
        """One chunk as a branch of the trunk whose tail is then made part of it."""
        tails = Tails(trunk.shape.layers, [0], len(ids))
        logits_BV = self._step(self._batch([trunk.view(trunk.length)], tails), [ids])
        trunk.append(ids, [(k_BGTD[0], v_BGTD[0]) for k_BGTD, v_BGTD in tails.layers()], logits_BV[0])

    def _open(self, rows: Sequence[Row]) -> tuple[Tensor, Batch]:
        """The logits of each row's first answer token, and the batch with its suffixes read."""
        asking = [number for number, row in enumerate(rows) if row.suffix]
        views, room = [row.view for row in rows], max(row.max_new_tokens for row in rows)
        layers = self.adapter.shape.layers
        if not asking:
            return torch.stack([_predicted(view) for view in views]), self._batch(
                views, Tails(layers, [0] * len(rows), room)
            )
        suffixes = [rows[number].suffix for number in asking]
        width = max(map(len, suffixes))
        tails = Tails(layers, [width - len(suffix) for suffix in suffixes], width + room)
        read_BV = self._step(self._batch([views[number] for number in asking], tails), suffixes)
        if len(asking) == len(rows):
            return read_BV, self._batch(views, tails)
        read = dict(zip(asking, read_BV, strict=True))
        logits_BV = torch.stack([read[n] if n in read else _predicted(view) for n, view in enumerate(views)])
        return logits_BV, self._batch(views, tails.spread(asking, len(rows)))

    def _batch(self, views: Sequence[View], tails: Tails) -> Batch:
        return Batch(views, tails, BatchAttention(views, tails, self.adapter.shape.windows, self.kernels))

    def _step(self, batch: Batch, new: Sequence[Sequence[int]]) -> Tensor:
        """The next tokens of each row, left-padded to one width; logits after the last one: `[B, V]`."""
        width = max(map(len, new))
        device = self.adapter.shape.device
        ids = [[0] * (width - len(tokens)) + list(tokens) for tokens in new]
        ids_BT = torch.tensor(ids, dtype=torch.long, device=device)
        column, tails = batch.tails.width, batch.tails
        length_B1 = torch.tensor([[view.length] for view in batch.views], device=device)
        first_B1 = length_B1 + column - torch.tensor(tails.pad, device=device)[:, None]
        # Padding before a branch's first token has no position of its own: any valid one will do.
        position_BT = torch.maximum(first_B1 + torch.arange(width, device=device), length_B1)
        logits_BV = self.adapter.forward(ids_BT, position_BT, batch.attention.at(position_BT))
        tails.width += width
        return logits_BV


@dataclass(frozen=True)
class Batch:
    """Rows that step together: what each sees, their own tokens, and the attention over both."""

    views: Sequence[View]
    tails: Tails
    attention: BatchAttention

    def only(self, places: list[int]) -> Batch:
        """The batch with these rows alone."""
        views = [self.views[place] for place in places]
        self.tails.keep(places)
        return Batch(views, self.tails, self.attention.over(views))


def _predicted(view: View) -> Tensor:
    if view.logits_V is None:
        raise RuntimeError(f"no logits were kept at position {view.length}")
    return view.logits_V
