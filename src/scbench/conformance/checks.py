"""The checks. Each tries one property of a method in the engine and says what went wrong, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial

import torch
from torch import Tensor

from scbench.conformance import sequential, stage
from scbench.conformance.poisoning import Poisoning
from scbench.conformance.result import Check, Result, tried
from scbench.conformance.rewriting import check_rewriting
from scbench.engine.acting import EACH, ISOLATED, ONCE
from scbench.engine.adapter import Adapter
from scbench.engine.answer import Decoder
from scbench.engine.config import EngineConfig
from scbench.engine.job import Job, Turn
from scbench.engine.probe import attention_of
from scbench.engine.session import run_session
from scbench.errors import ScbenchError
from scbench.kernels.choose import Kernels
from scbench.kernels.spec import Visible
from scbench.methods.base import Base, Layer, Method, Queries
from scbench.methods.compose import Composition, compose
from scbench.methods.compression.snapkv import SnapKV
from scbench.methods.generation.a_shape import AShape
from scbench.methods.generation.dense import Dense
from scbench.modes import MULTI_REQUEST, MULTI_TURN, Mode, build_layout, with_query
from scbench.prompts.dialogue import Dialogue
from scbench.segments.base import Segment
from scbench.segments.dense import DenseSegment

LIMIT = 8
TEMPLATE = 4  # tokens
LAYERS = 3
MODES = (MULTI_TURN, MULTI_REQUEST)
BUDGET = 24  # tokens, for methods that take a budget
STRETCH = 5  # of a dialogue whose later prompts are longer than the budget, so that they are compressed too
CONTEXTS = (61, 64, 97)  # one cuts pages, groups and chunks, one fills them, one has several
Answers = list[tuple[int, ...]]


@dataclass(frozen=True)
class _Way:
    """How a dialogue is asked; without a `query`, as the mode has it."""

    mode: str
    context: int = CONTEXTS[0]
    history: str = "gold"
    query: str = ""
    compress: str = ONCE
    stretch: int = 1


@dataclass(frozen=True)
class Kit:
    """A method to be tried, set to keep or read few tokens if it takes a budget."""

    method: Method

    @cached_property
    def tried(self) -> Method:
        """The method as it is tried."""
        return self.method.with_tokens(BUDGET) if self.method.uses_budget else self.method

    def run(self) -> Iterator[Result]:
        """Every check, one after the other. An exception inside a check is its failure."""
        if self.method.rewrites:
            yield from check_rewriting(self.tried, BUDGET)
            return
        checks: list[Check] = [
            ("acts", self._acts),
            *(
                (f"equals the sequential loop: {name}", lambda name=name: self._equals(name))
                for name in stage.MODELS
                if name != "hybrid"
            ),
            ("equals the sequential loop: points that cut pages, groups and chunks", self._cuts),
            ("equals the sequential loop: generated history", self._generated),
            ("equals the sequential loop: context shorter than any window", lambda: self._short(3)),
            ("equals the sequential loop: context of one token", lambda: self._short(1)),
            ("reads nothing of the dense cache after it has acted", self._poison),
            ("lossless() equals dense", self._lossless),
            ("the same twice", self._twice),
            ("any subset and order of branches", self._subset),
            ("a prefix of the turns", self._prefix),
            ("a batch equals its branches alone", self._single),
            ("chunk sizes", self._chunks),
            ("one batch for a family", self._family),
            *self._protocols(),
            ("a hybrid model", self._hybrid),
            ("composes with a method of another stage", self._composes),
            ("keeps what its budget says", self._memory),
            ("keeps the template's tokens", self._protected),
        ]
        yield from tried(checks)

    def _protocols(self) -> Iterator[Check]:
        """What else the cache may have seen when it was compressed, and compressing again, where that has an effect."""
        if "compression" not in self.tried.stages:
            return
        name = "equals the sequential loop: query="
        yield name + "free", lambda: self._difference(_Way(MULTI_TURN, query="free"))
        if self.tried.observes:
            yield name + "aware", lambda: self._difference(_Way(MULTI_REQUEST, query="aware"))
        yield name + "each", lambda: _first(self._difference(_Way(mode, query="each")) for mode in MODES)
        if self.tried.repeats and not self.tried.per_query_head:
            for compress in (EACH, ISOLATED):
                way = _Way(MULTI_TURN, compress=compress, stretch=STRETCH)
                yield f"equals the sequential loop: compress={compress}", partial(self._difference, way)

    def _acts(self) -> str:
        base = Base(CONTEXTS[0])
        if not self.tried.stages or self.tried.idle(base):
            return f"has nothing to do on a base of {base.tokens} tokens; give it options with which it acts"
        dense = self._answers("grouped-query", MULTI_TURN, compose([Dense()]))
        return "" if self._answers("grouped-query", MULTI_TURN) != dense else "its answers are those of the dense cache"

    def _equals(self, name: str) -> str:
        return _first(self._difference(_Way(mode), name) for mode in MODES)

    def _cuts(self) -> str:
        return _first(self._difference(_Way(mode, context)) for mode in MODES for context in CONTEXTS[1:])

    def _generated(self) -> str:
        return self._difference(_Way(MULTI_TURN, history="generated"))

    def _short(self, context: int) -> str:
        return _first(self._difference(_Way(mode, context)) for mode in MODES)

    def _poison(self) -> str:
        poisoned = compose([Poisoning(self.tried)])
        return _first(
            _compare(
                self._answers("grouped-query", mode, poisoned), self._answers("grouped-query", mode), "poisoned", mode
            )
            for mode in MODES
        )

    def _lossless(self) -> str:
        if type(self.method.lossless()) is not type(self.method):
            return f"its lossless setting is a {type(self.method.lossless()).__name__}, another method"
        whole, dense = compose([self.method.lossless()]), compose([Dense()])
        return _first(
            _compare(self._answers(name, mode, whole), self._answers(name, mode, dense), "lossless", f"{name}, {mode}")
            for name in ("grouped-query", "sliding-window")
            for mode in MODES
        )

    def _twice(self) -> str:
        return _compare(
            self._answers("grouped-query", MULTI_TURN), self._answers("grouped-query", MULTI_TURN), "again", ""
        )

    def _subset(self) -> str:
        def some(job: Job) -> Job:
            first, *_, last = job.layout.branches
            return replace(job, layout=replace(job.layout, branches=(last, first)))

        def check(mode: str) -> str:
            whole = self._answers("grouped-query", mode)
            return _compare(
                self._answers("grouped-query", mode, change=some), [whole[-1], whole[0]], "in another order", mode
            )

        return _first(map(check, MODES))

    def _prefix(self) -> str:
        talk = stage.dialogue(CONTEXTS[0])
        short = replace(talk, opening=talk.opening[:2], followup=talk.followup[:2], gold=talk.gold[:2])

        def check(mode: str) -> str:
            return _compare(
                self._answers("grouped-query", mode, talk=short),
                self._answers("grouped-query", mode)[:2],
                "two turns",
                mode,
            )

        return _first(map(check, MODES))

    def _single(self) -> str:
        def check(mode: str, turn: int) -> str:
            def one(job: Job) -> Job:
                return replace(job, layout=replace(job.layout, branches=(job.layout.branches[turn],)))

            alone = self._answers("grouped-query", mode, change=one)
            return _compare(
                alone, self._answers("grouped-query", mode)[turn : turn + 1], "alone", f"{mode}, turn {turn}"
            )

        return _first(check(mode, turn) for mode in MODES for turn in range(3))

    def _chunks(self) -> str:
        def check(mode: str, chunk: int) -> str:
            found = self._answers("grouped-query", mode, chunk=chunk)
            return _compare(found, self._answers("grouped-query", mode), f"chunks of {chunk}", mode)

        return _first(check(mode, chunk) for mode in MODES for chunk in (1, 7, 1024))

    def _family(self) -> str:
        talk = stage.dialogue(CONTEXTS[0])
        jobs = [
            _job(mode, mode + name, talk, method)
            for mode in MODES
            for name, method in (("", compose([self.tried])), ("dense", compose([Dense()])))
        ]
        done = _run(_decoder("grouped-query", 16), jobs, talk, "family")
        return _first(_compare(done[mode], self._answers("grouped-query", mode), "in a family", mode) for mode in MODES)

    def _hybrid(self) -> str:
        if "retrieval" in self.tried.stages:  # what a state has taken in cannot be put together from pieces
            return ""
        if self._refuses("hybrid"):  # it is made for models with as many layers as the others have
            return ""
        talk = stage.dialogue(CONTEXTS[0])
        jobs = [_job(mode, mode, talk, compose([self.tried])) for mode in MODES]
        together = _run(_decoder("hybrid", 16), jobs, talk, "family")
        return _first(_compare(together[mode], self._answers("hybrid", mode), "in a family", mode) for mode in MODES)

    def _refuses(self, name: str) -> bool:
        try:
            self.tried.check_model(*attention_of(stage.model(name).config))
        except ScbenchError:
            return True
        return False

    def _composes(self) -> str:
        """Before a compression if it decides how the base is read, else after a sparse prefill."""
        stages = set(self.tried.stages)
        first = bool({"generation", "retrieval"} & stages)
        other = SnapKV(window=4).with_tokens(BUDGET) if first else AShape(5, 17)
        if stages & set(other.stages):  # it acts at both
            return ""
        both = compose([self.tried, other])
        return _first(self._difference(_Way(mode), method=both) for mode in MODES)

    def _memory(self) -> str:
        """What is read of the base: by each query head no more than the budget, on average over the layers."""
        if not self.method.uses_budget or not {"compression", "loading"} & set(self.method.stages):
            return ""
        acted = [read for n, read in enumerate(self._read()) if self.tried.acts_on(Layer(n, LAYERS))]
        most = [float(read_GNL.sum(-1).float().max()) for read_GNL in acted]
        mean = sum(most) / len(most)
        return "" if mean <= BUDGET else f"reads {mean:.0f} tokens per layer for a budget of {BUDGET}"

    def _protected(self) -> str:
        if "compression" not in self.tried.stages:
            return ""
        lost = [layer for layer, read_GNL in enumerate(self._read()) if not bool(read_GNL[..., :TEMPLATE].all())]
        return f"drops tokens of the template in layer {lost[0]}" if lost else ""

    def _read(self) -> list[Tensor]:
        """Per layer, which tokens of a random cache are read once the method has acted: `[G, N, L]`."""
        generator = torch.Generator().manual_seed(0)
        tokens, base = CONTEXTS[0], Base(CONTEXTS[0], ((0, TEMPLATE),))
        found = []
        for number in range(LAYERS):
            k_GLD, v_GLD = torch.randn(2, 2, tokens, 12, generator=generator)
            q_HWD = torch.randn(4, max(1, self.tried.queries), 12, generator=generator)
            where, cache = Layer(number, LAYERS), DenseSegment(0, k_GLD, v_GLD)
            segment: Segment = cache
            if self.tried.acts_on(where) and "compression" in self.tried.stages:
                segment = self.tried.compress(cache, Queries(q_HWD, tokens, 0.3), where, base)
            if self.tried.acts_on(where) and "loading" in self.tried.stages:
                seen = Queries(q_HWD, tokens, 0.3)
                segment = (
                    self.tried.focus(cache, seen, where, base)
                    if self.tried.focuses
                    else self.tried.load(cache, where, base)
                )
            visible = Visible.of(torch.zeros(2, dtype=torch.long), torch.full((2,), tokens), 2, 1)
            read_GNL = torch.ones(2, 2, tokens, dtype=torch.bool)
            read_GNL[..., : segment.stop] = segment.reads(q_HWD[:, -1].reshape(2, 2, 12), visible)
            found.append(read_GNL)
        return found

    def _difference(self, way: _Way, name: str = "grouped-query", method: Composition | None = None) -> str:
        method = method or compose([self.tried])
        talk, plain = stage.dialogue(way.context, stretch=way.stretch), stage.model(name)
        if way.mode == MULTI_TURN:
            query = way.query or "aware"
            expected = sequential.multi_turn(plain, talk, method, LIMIT, way.history, query, way.compress)
        else:
            expected = sequential.multi_request(plain, talk, method, LIMIT, way.query or "free")
        jobs = [_job(way.mode, "one", talk, method, way.history, way.query, way.compress)]
        answers = _run(_decoder(name, 16), jobs, talk, "method")["one"]
        return _compare(answers, expected, "engine", f"{way.mode}, context of {way.context}, {way.history} history")

    def _answers(
        self,
        name: str,
        mode: str,
        method: Composition | None = None,
        talk: Dialogue | None = None,
        chunk: int = 16,
        change: Callable[[Job], Job] = lambda job: job,
    ) -> Answers:
        talk = talk or stage.dialogue(CONTEXTS[0])
        job = change(_job(mode, "one", talk, method or compose([self.tried])))
        return _run(_decoder(name, chunk), [job], talk, "method")["one"]


def _decoder(name: str, chunk: int) -> Decoder:
    model = stage.model(name)
    return Decoder(Adapter(model), Kernels(model.device, model.dtype), chunk)


def _job(
    mode: str,
    cell: str,
    talk: Dialogue,
    method: Composition,
    history: str = "gold",
    query: str = "",
    compress: str = ONCE,
) -> Job:
    limits = (LIMIT,) * len(talk.opening)
    layout = build_layout(Mode(mode), talk, limits, history)
    layout = with_query(layout, query) if query else layout
    later = len(talk.opening) - len(layout.branches)
    feedback = tuple(zip(talk.followup, limits, strict=True))[-later:] if later else ()
    return Job(cell, layout, method, None, feedback, compress, query == "each")


def _turns(decoder: Decoder, jobs: list[Job], talk: Dialogue, batch: str) -> dict[str, tuple[Turn, ...]]:
    longest = len(talk.context) + 40 * len(talk.opening)
    done = {}
    with torch.inference_mode():
        for one in run_session(decoder, jobs, talk.stop, EngineConfig(batch=batch), lambda *_: None, longest):
            if one.failure is not None:
                raise RuntimeError(one.failure.detail)
            done[one.job.cell] = one.turns
    return done


def _run(decoder: Decoder, jobs: list[Job], talk: Dialogue, batch: str) -> dict[str, Answers]:
    return {cell: [turn.answer.tokens for turn in turns] for cell, turns in _turns(decoder, jobs, talk, batch).items()}


def _compare(seen: Answers, expected: Answers, what: str, where: str) -> str:
    for number, (one, other) in enumerate(zip(seen, expected, strict=True)):
        if one != other:
            return f"{where + ': ' if where else ''}answer {number + 1} {what} is {list(one)}, expected {list(other)}"
    return ""


def _first(failures: Iterator[str]) -> str:
    """The first failure, or nothing."""
    return next((failure for failure in failures if failure), "")
