"""The sequential loop: each turn from the start, one token at a time, over the method's own segments.

It imports nothing of the engine: no trunk, fork, batch, chunk or view. What a method makes it takes as it is (whether
that is what the paper says is for the method's own tests), so a difference is the engine's doing, or a method's that
depends on how the engine calls it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel

from scbench.kernels.choose import Kernels
from scbench.kernels.merge import merge
from scbench.kernels.spec import Spec, Visible
from scbench.methods.base import Base, Cache, Deviation, Layer, Method, Prompt, Queries
from scbench.methods.compose import Composition
from scbench.prompts.dialogue import Dialogue
from scbench.segments.base import Segment
from scbench.segments.dense import DenseSegment
from scbench.segments.kept import KeptSegment

_NAME = "scbench_sequential"


@dataclass
class _Layer:
    window: int | None
    scale: float
    segments: list[Segment] = field(default_factory=list)
    fresh: list[tuple[Tensor, Tensor]] = field(default_factory=list)  # (k_G1D, v_G1D) behind the segments
    queries: list[Tensor] = field(default_factory=list)  # q_H1D of every token

    def dense(self, stop: int) -> DenseSegment:
        """The fresh tokens, which end before position `stop`."""
        k_GLD, v_GLD = (torch.cat(parts, dim=1) for parts in zip(*self.fresh, strict=True))
        return DenseSegment(stop - len(self.fresh), k_GLD, v_GLD)


class Loop:
    """One turn's cache."""

    def __init__(self, model: PreTrainedModel, method: Composition, protected: tuple[tuple[int, int], ...]) -> None:
        AttentionInterface.register(_NAME, _attention)
        model.set_attn_implementation(_NAME)
        self._model = model
        self._method = method
        self._protected = protected
        self._layers: dict[int, _Layer] = {}
        self._kernels = Kernels(torch.device("cpu"), torch.float32, "reference")
        self._planner: Method | None = None
        self.tokens = 0

    def read(self, ids: Sequence[int]) -> Tensor:
        """The logits after the last token."""
        for token in ids:
            logits = self._forward([token])
        return logits

    def read_base(self, ids: Sequence[int], context: int) -> Tensor:
        """The same for the base, which a method may plan: then all of it at once.

        A method that reuses KV has its first `context` tokens put together from pieces.
        """
        acting = self._method.acting(Base(len(ids), self._protected))
        assembler = acting.at("retrieval")
        if assembler is not None:
            logits = self._assemble(ids[:context], assembler)
            return self.read(ids[context:]) if len(ids) > context else logits
        self._planner = acting.at("generation")
        logits = self.read(ids) if self._planner is None else self._forward(list(ids))
        self._planner = None
        return logits

    def ahead(self, ids: Sequence[int]) -> Loop:
        """A copy that has read on; this one stays where it is."""
        copy = self._beside(self.tokens)
        for number, layer in self._layers.items():
            copy._layers[number] = replace(layer, fresh=[*layer.fresh], queries=[*layer.queries])
        copy.read(ids)
        return copy

    def act(self, seen: Loop | None = None) -> None:
        """The method acts on what was read so far; `seen` has read what it may look at, if that is more."""
        seen = seen or self
        base = Base(self.tokens, self._protected)
        acting = self._method.acting(base)
        for number, (_, layer) in enumerate(sorted(self._layers.items())):
            where = Layer(number, len(self._layers))
            if layer.window is not None:
                continue
            for stage in ("compression", "loading"):
                part = acting.at(stage)
                if part is None or part.focuses or not part.acts_on(where):
                    continue
                cache: Any = layer.dense(self.tokens) if layer.fresh else layer.segments[0]
                looked = seen._queries(number, part)
                made = (
                    part.compress(cache, looked, where, base)
                    if stage == "compression"
                    else part.load(cache, where, base)
                )
                layer.segments = [made]
                layer.fresh = layer.fresh[len(layer.fresh) - (self.tokens - made.stop) :]

    def again(self, compress: str) -> None:
        """At a later point: segments take over new tokens, and a compression that repeats does.

        `each`: all that is still there; `isolated`: the tokens behind what was made before.
        """
        self.settle()
        compressor = self._method.at("compression")
        if compressor is None or not compressor.repeats or compress not in ("each", "isolated"):
            return
        base = Base(self.tokens, self._protected)
        for number, (_, layer) in enumerate(sorted(self._layers.items())):
            where = Layer(number, len(self._layers))
            if layer.window is not None or not compressor.acts_on(where):
                continue
            if compressor.idle(Base(self.tokens if compress == "each" else len(layer.fresh))):
                continue
            latest = layer.dense(self.tokens)
            cache = _joined([*layer.segments, latest]) if compress == "each" else latest
            made = compressor.compress(cache, self._queries(number, compressor), where, base)
            layer.segments = [made] if compress == "each" else [*layer.segments, made]
            layer.fresh = []

    def _queries(self, number: int, method: Method) -> Queries | None:
        """The last queries of a layer, as many as the method wants to see."""
        if not method.queries:
            return None
        layer = self._layers[sorted(self._layers)[number]]
        return Queries(torch.cat(layer.queries[-method.queries :], dim=1), self.tokens, layer.scale)

    def settle(self) -> None:
        """At a later point: segments that take over new tokens do so."""
        for layer in self._layers.values():
            if layer.segments and layer.segments[0].absorbs and layer.fresh:
                made = layer.segments[0].absorb(layer.dense(self.tokens))
                layer.segments = [made]
                layer.fresh = layer.fresh[len(layer.fresh) - (self.tokens - made.stop) :]

    def answer(self, logits: Tensor, limit: int, stop: frozenset[int]) -> tuple[int, ...]:
        """Greedy tokens; a method may choose now what they read."""
        self._focus()
        tokens: list[int] = []
        while len(tokens) < limit and (token := int(logits.argmax())) not in stop:
            tokens.append(token)
            if len(tokens) < limit:
                logits = self.read([token])
        return tuple(tokens)

    def attend(
        self, number: int, q_HTD: Tensor, k_GTD: Tensor, v_GTD: Tensor, scale: float, window: int | None
    ) -> Tensor:
        """One layer's attention: `[T, H, D]`."""
        layer = self._layers.setdefault(number, _Layer(window, scale))
        layer.queries += torch.split(q_HTD, 1, dim=1)
        layer.fresh += [(k_GTD[:, t : t + 1], v_GTD[:, t : t + 1]) for t in range(k_GTD.shape[1])]
        stop = self.tokens + q_HTD.shape[1]
        if q_HTD.shape[1] > 1:
            return self._planned(sorted(self._layers).index(number), layer, q_HTD, stop)
        heads, _, dim = q_HTD.shape
        low = torch.tensor(0 if window is None else max(0, stop - window))
        group = heads // k_GTD.shape[0]
        visible = Visible.of(low.expand(group), torch.tensor(stop).expand(group), group, 1)
        spec, q_GND = Spec(scale, window), q_HTD.reshape(k_GTD.shape[0], group, dim)
        parts = [*layer.segments, layer.dense(stop)]
        return merge([part.attend(q_GND, visible, spec, self._kernels) for part in parts]).out_GND.reshape(
            1, heads, dim
        )

    def _focus(self) -> None:
        part, base = self._method.at("loading"), Base(self.tokens, self._protected)
        if part is None or not part.focuses or part.idle(base):
            return
        for number, (_, layer) in enumerate(sorted(self._layers.items())):
            where = Layer(number, len(self._layers))
            if layer.window is None and part.acts_on(where):
                layer.segments = [part.focus(layer.dense(self.tokens), self._queries(number, part), where, base)]
                layer.fresh = []

    def _assemble(self, ids: Sequence[int], method: Method) -> Tensor:
        """Pieces that were read apart, then the chosen tokens again, one after the other, over all before."""
        base = Base(len(ids), self._protected)
        cuts = method.reuse(base)
        for start, stop in pairwise((0, *cuts, len(ids))):
            piece = self._beside(start)
            piece.read(ids[start:stop])
            for number, layer in piece._layers.items():
                own = self._layers.setdefault(number, _Layer(layer.window, layer.scale))
                own.fresh += layer.fresh
        deviation = None
        if method.compares is not None:
            whole = self._beside(0)
            whole.read(ids)
            compared = sorted(self._layers)[min(method.compares, len(self._layers) - 1)]
            deviation = self._deviation(whole, compared)
            self._layers[compared].fresh = whole._layers[compared].fresh
        for place in sorted({*method.recompute(cuts, deviation, base).tolist(), len(ids) - 1}):
            again = self._beside(place)
            for number, layer in self._layers.items():
                again._layers[number] = _Layer(layer.window, layer.scale, [], layer.fresh[:place])
            logits = again.read([ids[place]])
            for number, layer in self._layers.items():
                layer.fresh[place] = again._layers[number].fresh[place]
        self._ask(ids)
        self.tokens = len(ids)
        return logits

    def _ask(self, ids: Sequence[int]) -> None:
        """The last queries that a part wants to see: reused KV has none, so they are read again."""
        if not self._method.queries:
            return
        at = max(0, len(ids) - self._method.queries)
        asked = self._beside(at)
        for number, layer in self._layers.items():
            asked._layers[number] = _Layer(layer.window, layer.scale, [], layer.fresh[:at])
        asked.read(ids[at:])
        for number, layer in self._layers.items():
            layer.queries = asked._layers[number].queries

    def _beside(self, tokens: int) -> Loop:
        """A dense loop of its own, whose next token stands at this position."""
        loop = Loop(self._model, Composition(()), self._protected)
        loop.tokens = tokens
        return loop

    def _deviation(self, whole: Loop, number: int) -> Deviation:
        pairs = zip(self._layers[number].fresh, whole._layers[number].fresh, strict=True)
        distances = [
            ((k - other_k).square().sum(), (v - other_v).square().sum()) for (k, v), (other_k, other_v) in pairs
        ]
        k_L, v_L = (torch.stack(part) for part in zip(*distances, strict=True))
        return Deviation(k_L, v_L)

    def _planned(self, number: int, layer: _Layer, q_HTD: Tensor, stop: int) -> Tensor:
        """All of the base at once, under the plan's own mask."""
        dense = layer.dense(stop)
        heads, tokens, dim = q_HTD.shape
        row = torch.arange(tokens)
        mask_HTL = (row[:, None] >= row).expand(heads, -1, -1)
        if layer.window is not None:
            mask_HTL = mask_HTL & (row[:, None] - row < layer.window)
        elif self._planner is not None:
            where = Layer(number, self._model.config.get_text_config().num_hidden_layers)
            plan = self._planner.prefill(Prompt(q_HTD, dense.k_GLD, 0, tokens, layer.scale), where)
            mask_HTL = mask_HTL if plan is None else plan.mask(0, tokens, tokens, q_HTD.device).expand(heads, -1, -1)
        kv_heads = dense.k_GLD.shape[0]
        q_GND, mask_GNL = q_HTD.reshape(kv_heads, -1, dim), mask_HTL.reshape(kv_heads, -1, tokens)
        part = self._kernels.masked(q_GND, dense.k_GLD, dense.v_GLD, mask_GNL, layer.scale)
        return part.out_GND.reshape(heads, tokens, dim).transpose(0, 1)

    def _forward(self, ids: list[int]) -> Tensor:
        place = torch.arange(self.tokens, self.tokens + len(ids))[None]
        with torch.inference_mode():
            output = self._model(input_ids=torch.tensor([ids]), position_ids=place, use_cache=False, loop=self)
        self.tokens += len(ids)
        logits: Tensor = output.logits[0, -1]
        return logits


def _attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None = None,
    scaling: float = 1.0,
    sliding_window: int | None = None,
    loop: Loop | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    if loop is None:
        raise RuntimeError("a model under attention 'scbench_sequential' was called outside its loop")
    out_THD = loop.attend(module.layer_idx, query[0], key[0], value[0], scaling, sliding_window)
    return out_THD.unsqueeze(0), None


def _joined(segments: Sequence[Segment]) -> Cache:
    """Segments of plain keys and values as one, for a method that acts on all of them again."""
    parts = [segment for segment in segments if isinstance(segment, DenseSegment | KeptSegment)]
    if len(parts) < len(segments):
        raise TypeError(f"{type(segments[0]).__name__} cannot be compressed again")
    position_GL, k_GLD, v_GLD = (
        torch.cat(tensors, dim=1)
        for tensors in zip(*((part.position_GL, part.k_GLD, part.v_GLD) for part in parts), strict=True)
    )
    return KeptSegment(parts[0].start, parts[-1].stop, position_GL, k_GLD, v_GLD)


def multi_turn(
    model: PreTrainedModel,
    dialogue: Dialogue,
    method: Composition,
    limit: int,
    history: str = "gold",
    query: str = "aware",
    compress: str = "once",
) -> list[tuple[int, ...]]:
    """Every turn's answer, each from the start."""
    answers: list[tuple[int, ...]] = []
    for turn in range(len(dialogue.opening)):
        said = dialogue.gold if history == "gold" else answers
        spans = [dialogue.opening[0], *((*said[past], *dialogue.followup[past + 1]) for past in range(turn))]
        inside = {"free": 0, "aware": 1, "each": len(spans)}[query]  # how many spans the base has behind the context
        loop = Loop(model, method, dialogue.protected)
        base = [*dialogue.context, *(token for span in spans[:inside] for token in span)]
        logits = loop.read_base(base, len(dialogue.context))
        loop.act()
        for span in spans[inside:]:
            logits = loop.read(span)
            loop.again(compress)
        answers.append(loop.answer(logits, limit, dialogue.stop))
    return answers


def multi_request(
    model: PreTrainedModel, dialogue: Dialogue, method: Composition, limit: int, query: str = "free"
) -> list[tuple[int, ...]]:
    """Every question's answer, each from the start."""
    answers = []
    for question in dialogue.opening:
        loop = Loop(model, method, dialogue.protected)
        if query == "each":
            logits = loop.read_base([*dialogue.context, *question], len(dialogue.context))
            loop.act()
        else:
            loop.read_base(dialogue.context, len(dialogue.context))
            loop.act(loop.ahead(dialogue.opening[0]) if query == "aware" else None)
            logits = loop.read(question)
            loop.settle()
        answers.append(loop.answer(logits, limit, dialogue.stop))
    return answers
