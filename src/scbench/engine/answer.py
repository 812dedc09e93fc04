"""Prefill of the trunk, and greedy answers of its branches as one batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from scbench.engine.adapter import Adapter, Attend, Call
from scbench.engine.attention import BatchAttention
from scbench.engine.device import synchronise
from scbench.engine.prefill import PlanAttention
from scbench.engine.reuse import Compared, Comparison, PieceAttention, RowsAttention
from scbench.engine.ring import Ring, Seen
from scbench.engine.states import States
from scbench.engine.tails import Tails
from scbench.engine.trunk import Trunk
from scbench.engine.view import Row, View
from scbench.errors import ScbenchError
from scbench.kernels.choose import Kernels
from scbench.methods.base import PROMPT, Base, Method, Passes

PREDICTED = 1 << 26  # numbers of predictions held at once


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


Watcher = Callable[[int, Tensor, Tensor, Call], None]  # (layer, q_HTD, k_GTD of the new tokens, call)
Report = Callable[[int, int], None]  # (tokens done, tokens in all)


class Decoder:
    """A model and its kernels, set to prefill spans of a trunk and to answer its branches.

    `chunk` tokens go through the model at once; `width`, if there is one, is the most branches of a batch.
    """

    def __init__(self, adapter: Adapter, kernels: Kernels, chunk: int, width: int | None = None) -> None:
        self.adapter = adapter
        self.kernels = kernels
        self.width = width
        self._chunk = chunk

    def cut(self, passes: Passes) -> Decoder:
        """The same model with its passes cut in another way; raises `ScbenchError` if the chunks are the same."""
        if passes.chunk == self._chunk:
            raise ScbenchError(f"chunk={passes.chunk} is the engine's own (engine.chunk), so nothing would be repeated")
        return Decoder(self.adapter, self.kernels, passes.chunk, passes.width)

    def extend(self, trunk: Trunk, ids: Sequence[int], first_leave: int, deadline: Deadline, report: Report) -> None:
        """Prefill `ids` behind the trunk, over its own segments, in chunks.

        `first_leave` is the earliest position at which a branch leaves: sliding-window layers keep what such a
        branch needs, and forget the rest.
        """
        at = 0
        while at < len(ids):
            deadline.check()
            chunk = ids[at : at + self._step_length(trunk, len(ids))]
            self._append(trunk, chunk)
            trunk.trim(first_leave)
            at += len(chunk)
            report(at, len(ids))
        trunk.keep_states()

    def extend_each(
        self, trunks: Sequence[Trunk], spans: Sequence[Sequence[int]], first_leave: int, deadline: Deadline
    ) -> None:
        """Prefill a span behind each of several trunks without states, as many at once as a chunk has room for.

        Their rings do not remember who asked last: nothing may look into them afterwards.
        """
        widest = max(map(len, spans))
        some = 1 if widest > self._chunk else min(self._chunk // widest, self.width or len(trunks))
        for at in range(0, len(trunks), some):
            deadline.check()
            group, new = trunks[at : at + some], spans[at : at + some]
            if some == 1:
                self.extend(group[0], new[0], first_leave, deadline, lambda *_: None)
            else:
                self._extend_alike(group, new, first_leave)

    def prefill(
        self, trunk: Trunk, ids: Sequence[int], method: Method, total: int, deadline: Deadline, report: Report
    ) -> None:
        """Prefill `ids` behind a trunk of dense segments as the method plans it, for a base of `total` tokens.

        A method whose horizon is the prompt gets it whole.
        """
        step = len(ids) if method.horizon == PROMPT else self._chunk
        for at in range(0, len(ids), step):
            deadline.check()
            chunk = ids[at : at + step]
            attend = PlanAttention(trunk, method, total, self.kernels)
            seen: Seen = {}
            logits_V = self._planned(trunk, chunk, _watching(attend, seen if trunk.ring.width else None))
            trunk.advance(chunk, logits_V, seen, attend.computed)
            report(at + len(chunk), len(ids))
        trunk.keep_states()

    def assemble(
        self, trunk: Trunk, ids: Sequence[int], method: Method, base: Base, deadline: Deadline, report: Report
    ) -> float:
        """Put the KV of `ids` on an empty trunk of dense segments as the method reuses it; seconds of what it reuses.

        Every piece is read by itself, at its own positions: with rotary positions this is the same as moving keys
        that were computed elsewhere. Then the method's choice of tokens, and always the last one, is computed anew.
        """
        if trunk.states is not None:
            raise ScbenchError("KV cannot be put together for a model whose layers keep states of all that came before")
        began = time.perf_counter()
        cuts = method.reuse(base)
        for start, stop in pairwise((0, *cuts, len(ids))):
            for at in range(start, stop, self._chunk):
                deadline.check()
                chunk = ids[at : min(at + self._chunk, stop)]
                logits_V = self._planned(trunk, chunk, PieceAttention(trunk, start, stop, self.kernels))
                trunk.advance(chunk, logits_V, {}, {})
                report(trunk.length, len(ids))
        synchronise(*trunk.shape.devices)
        before = time.perf_counter() - began
        deviation = None
        if method.compares is not None:
            comparing = Comparison(trunk, method.compares, self.kernels)
            with suppress(Compared):
                self._forward(ids, range(len(ids)), comparing)
            deviation = comparing.deviation
        last = len(ids) - 1
        chosen = sorted({*method.recompute(cuts, deviation, base).tolist(), last})
        again = RowsAttention(trunk, torch.tensor(chosen, device=trunk.shape.device), self.kernels)
        trunk.logits = {trunk.length: self._forward([ids[place] for place in chosen], chosen, again)}
        trunk.planned = trunk.length
        trunk.computed = {layer: float(sum(chosen) + len(chosen)) for layer in range(trunk.shape.layers)}
        if trunk.ring.width:  # what was read apart is not what the last tokens of the whole would ask
            at = max(0, len(ids) - trunk.ring.width)
            trunk.ring = self.observe(trunk, ids[at:], at)
        return before

    def watch(self, view: View, ids: Sequence[int], watcher: Watcher) -> None:
        """Read `ids` over a view in one pass, and show each layer's queries and new keys."""
        tails = Tails(self.adapter.shape.layers, [0], len(ids))
        batch = self._batch([view], tails, _states([view]))
        position_BT = torch.arange(view.length, view.length + len(ids), device=self.adapter.shape.device)[None]
        attend = batch.attention.at(position_BT)

        def watched(layer: int, q_BHTD: Tensor, k_BGTD: Tensor, v_BGTD: Tensor, call: Call) -> Tensor:
            watcher(layer, q_BHTD[0], k_BGTD[0], call)
            return attend(layer, q_BHTD, k_BGTD, v_BGTD, call)

        ids_BT = torch.tensor([list(ids)], dtype=torch.long, device=position_BT.device)
        self.adapter.forward(ids_BT, position_BT, watched, batch.states)

    def surprisal(self, ids: Sequence[int], deadline: Deadline) -> Tensor:
        """-log p of each token after those before it, in nats, on the model's device: `[T]`, 0 for the first."""
        trunk = Trunk.empty(self.adapter.shape, len(ids))
        step = max(1, min(self._chunk, PREDICTED // self.adapter.vocabulary))
        found = [torch.zeros(1, device=trunk.shape.device)]
        for place in range(0, len(ids), step):
            deadline.check()
            chunk = ids[place : place + step]
            logits_TV = self._append(trunk, chunk, len(chunk)).float()
            following = torch.tensor(
                ids[place + 1 : place + 1 + len(chunk)], dtype=torch.long, device=trunk.shape.device
            )
            found.append(F.cross_entropy(logits_TV[: len(following)], following, reduction="none"))
        return torch.cat(found)[: len(ids)]

    def observe(self, trunk: Trunk, ids: Sequence[int], at: int) -> Ring:
        """The last queries when `ids` are read behind the trunk's first `at` tokens; the trunk stays as it is."""
        tails, seen = Tails(trunk.shape.layers, [0], len(ids)), Seen()
        view = trunk.view(at)
        self._step(self._batch([view], tails, _states([view])), [ids], seen)
        return trunk.ring.after(seen, at + len(ids))

    def open(self, rows: Sequence[Row]) -> Opened:
        """Read the rows' suffixes as one batch; the logits of each row's first answer token.

        Rows of a model with states have none, since they could not be padded to one length.
        """
        asking = [number for number, row in enumerate(rows) if row.suffix]
        views, room = [row.view for row in rows], max(row.max_new_tokens for row in rows)
        layers = self.adapter.shape.layers
        if not asking:
            nothing = Tails(layers, [0] * len(rows), room)
            return Opened(
                rows, torch.stack([_predicted(view) for view in views]), self._batch(views, nothing, _states(views))
            )
        suffixes = [rows[number].suffix for number in asking]
        width = max(map(len, suffixes))
        tails = Tails(layers, [width - len(suffix) for suffix in suffixes], width + room)
        read_BV = self._step(self._batch([views[number] for number in asking], tails, None), suffixes)
        if len(asking) == len(rows):
            return Opened(rows, read_BV, self._batch(views, tails, None))
        read = dict(zip(asking, read_BV, strict=True))
        logits_BV = torch.stack([read[n] if n in read else _predicted(view) for n, view in enumerate(views)])
        return Opened(rows, logits_BV, self._batch(views, tails.spread(asking, len(rows)), None))

    def decode(self, opened: Opened, stop: frozenset[int], deadline: Deadline, report: Report) -> list[Answer]:
        """Every row's greedy answer, decoded together; a finished branch leaves the batch."""
        rows, logits_BV, batch = opened.rows, opened.logits_BV, opened.batch
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

    def predict(self, rows: Sequence[Row], gold: Sequence[Sequence[int]]) -> list[Tensor]:
        """Per row the logits `[T, V]` (float32) that predict its T gold tokens, each after the ones before it.

        Nothing of the rows changes. Few rows go together where a vocabulary is large.
        """
        found: list[Tensor] = []
        together = self._together(max(map(len, gold), default=1))
        for at in range(0, len(rows), together):
            found += self._predict(rows[at : at + together], gold[at : at + together])
        return found

    def _together(self, tokens: int) -> int:
        """How many rows' predictions are held at once; models with states cannot pad rows."""
        if self.adapter.shape.states:
            return 1
        most = max(1, PREDICTED // (max(1, tokens) * self.adapter.vocabulary))
        return most if self.width is None else min(most, self.width)

    def _predict(self, rows: Sequence[Row], gold: Sequence[Sequence[int]]) -> list[Tensor]:
        first = [None if row.suffix else _predicted(row.view).float()[None] for row in rows]
        fed = [(*row.suffix, *ids[:-1]) for row, ids in zip(rows, gold, strict=True)]
        asking = [number for number, ids in enumerate(fed) if ids]
        read: dict[int, Tensor] = {}
        if asking:
            views, ids = [rows[number].view for number in asking], [fed[number] for number in asking]
            width, last = max(map(len, ids)), max(len(gold[number]) for number in asking)
            tails = Tails(self.adapter.shape.layers, [width - len(tokens) for tokens in ids], width)
            batch, parts = self._batch(views, tails, _states(views)), list[Tensor]()
            step = 1 if self.adapter.shape.single else width
            for at in range(0, width, step):
                new = [tokens[at : at + step] for tokens in ids] if step < width else ids
                parts.append(self._predicting(batch, new, min(last, step)))
            read = dict(zip(asking, torch.cat(parts, dim=1).float(), strict=True))
        found = []
        for number, answer in enumerate(gold):
            own = len(answer) - (0 if first[number] is None else 1)  # predicted by what was read
            parts = [part for part in (first[number], read[number][-own:] if own else None) if part is not None]
            found.append(torch.cat(parts)[: len(answer)])
        return found

    def _planned(self, trunk: Trunk, ids: Sequence[int], attend: Attend) -> Tensor:
        """One pass over tokens behind the trunk whose attention puts their keys there; logits of the last: `[V]`."""
        return self._forward(ids, range(trunk.length, trunk.length + len(ids)), attend, trunk.states)

    def _forward(
        self, ids: Sequence[int], position: Sequence[int], attend: Attend, states: States | None = None
    ) -> Tensor:
        """One pass over these tokens at these positions; logits of the last: `[V]`."""
        device = self.adapter.shape.device
        ids_BT, position_BT = (torch.tensor([list(x)], dtype=torch.long, device=device) for x in (ids, position))
        return self.adapter.forward(ids_BT, position_BT, attend, states)[0]

    def _extend_alike(self, trunks: Sequence[Trunk], spans: Sequence[Sequence[int]], first_leave: int) -> None:
        """One pass over a span of each trunk, whose tail is then made part of it."""
        widest = max(map(len, spans))
        tails = Tails(self.adapter.shape.layers, [widest - len(ids) for ids in spans], widest)
        logits_BV = self._step(self._batch([trunk.view(trunk.length) for trunk in trunks], tails, None), spans)
        layers = tails.layers()
        for row, (trunk, ids) in enumerate(zip(trunks, spans, strict=True)):
            pad = tails.pad[row]
            own = [(k_BGtD[row, :, pad:], v_BGtD[row, :, pad:]) for k_BGtD, v_BGtD in layers]
            trunk.append(ids, own, logits_BV[row], {})
            trunk.trim(first_leave)

    def _step_length(self, trunk: Trunk, tokens: int) -> int:
        """How many tokens go through the model at once: a chunk; but some models remember only their first pass."""
        if not trunk.shape.single:
            return self._chunk
        return 1 if trunk.length else tokens

    def _append(self, trunk: Trunk, ids: Sequence[int], last: int = 1) -> Tensor:
        """One chunk as a branch of the trunk whose tail is then made part of it; logits after its `last` tokens."""
        tails, seen = Tails(trunk.shape.layers, [0], len(ids)), Seen()
        batch = self._batch([trunk.view(trunk.length)], tails, trunk.states)
        logits_KV = self._predicting(batch, [ids], last, seen if trunk.ring.width else None)[0]
        trunk.append(ids, [(k_BGTD[0], v_BGTD[0]) for k_BGTD, v_BGTD in tails.layers()], logits_KV[-1], seen)
        return logits_KV

    def _batch(self, views: Sequence[View], tails: Tails, states: States | None) -> Batch:
        return Batch(views, tails, states, BatchAttention(views, tails, self.adapter.shape.windows, self.kernels))

    def _step(self, batch: Batch, new: Sequence[Sequence[int]], seen: Seen | None = None) -> Tensor:
        """The next tokens of each row; logits after the last one: `[B, V]`."""
        return self._predicting(batch, new, 1, seen)[:, -1]

    def _predicting(self, batch: Batch, new: Sequence[Sequence[int]], last: int, seen: Seen | None = None) -> Tensor:
        """The next tokens of each row, left-padded to one width; logits after the `last` ones: `[B, last, V]`.

        The queries of the first row are put into `seen`, if given.
        """
        width = max(map(len, new))
        device = self.adapter.shape.device
        ids = [[0] * (width - len(tokens)) + list(tokens) for tokens in new]
        ids_BT = torch.tensor(ids, dtype=torch.long, device=device)
        column, tails = batch.tails.width, batch.tails
        length_B1 = torch.tensor([[view.length] for view in batch.views], device=device)
        first_B1 = length_B1 + column - torch.tensor(tails.pad, device=device)[:, None]
        # Padding before a branch's first token has no position of its own: any valid one will do.
        position_BT = torch.maximum(first_B1 + torch.arange(width, device=device), length_B1)
        logits_BKV = self.adapter.predict(
            ids_BT, position_BT, _watching(batch.attention.at(position_BT), seen), batch.states, last
        )
        tails.width += width
        return logits_BKV


@dataclass(frozen=True)
class Batch:
    """Rows that step together: what each sees, their own tokens and states, and the attention."""

    views: Sequence[View]
    tails: Tails
    states: States | None
    attention: BatchAttention

    def only(self, places: list[int]) -> Batch:
        """The batch with these rows alone."""
        views = [self.views[place] for place in places]
        self.tails.keep(places)
        if self.states is not None:
            self.states.keep(places)
        return Batch(views, self.tails, self.states, self.attention.over(views))


@dataclass(frozen=True)
class Opened:
    """Rows whose questions have been read, ready to be decoded."""

    rows: Sequence[Row]
    logits_BV: Tensor
    batch: Batch


def _watching(attend: Attend, seen: Seen | None) -> Attend:
    """The same attention, which puts the first row's queries into `seen`."""
    if seen is None:
        return attend

    def watched(layer: int, q_BHTD: Tensor, k_BGTD: Tensor, v_BGTD: Tensor, call: Call) -> Tensor:
        seen[layer] = (q_BHTD[0], call.scale)
        return attend(layer, q_BHTD, k_BGTD, v_BGTD, call)

    return watched


def _states(views: Sequence[View]) -> States | None:
    """The states of the views as one batch; None for a model that has none."""
    snapshots = [view.states for view in views if view.states is not None]
    return States.stack(snapshots) if snapshots and snapshots[0].tensors else None


def _predicted(view: View) -> Tensor:
    if view.logits_V is None:
        raise RuntimeError(f"no logits were kept at position {view.length}")
    return view.logits_V
