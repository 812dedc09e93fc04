"""A session's jobs on an engine that is not our own: its branches become prompts, its replies become turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scbench.engine.answer import Answer
from scbench.engine.failure import Failure
from scbench.engine.job import Done, Job, Turn
from scbench.engines.protocol import Ask, Client, Prompt, Reply
from scbench.modes import Branch, Layout, Tokens, extend
from scbench.record import KvBytes, Serving, StageTime

Phase = Callable[[str, int, int], None]  # (name, answers done, answers in all)


@dataclass(frozen=True)
class Asked:
    """What a session's jobs have in common: the key of the session, stop ids, `timeout` seconds per job, a listener."""

    session: str
    stop: frozenset[int]
    timeout: float | None
    phase: Phase


def ask_session(
    client: Client, jobs: Sequence[Job], methods: Mapping[str, Mapping[str, Any]], asked: Asked
) -> Iterator[Done]:
    """Answer every job's turns, one job after the other; a job that fails costs itself only.

    `methods` is, by cell, what its method says of itself. All branches of a job are asked together; with generated
    history, each turn after the answer to the one before.
    """
    for job in jobs:
        try:
            yield Done(job, tuple(_Asking(client, job, methods[job.cell], asked).turns()))
        except Exception as error:
            yield Done(job, failure=Failure.of(error))


class _Asking:
    """One job; `_known` are the tokens that its session's prompts, and answers to earlier asks, have begun with."""

    def __init__(self, client: Client, job: Job, method: Mapping[str, Any], asked: Asked) -> None:
        self._client = client
        self._job = job
        self._method = method
        self._asked = asked
        self._end = None if asked.timeout is None else time.monotonic() + asked.timeout
        self._known: list[Tokens] = []
        self._questions = {b.turn: len(b.suffix) for b in job.layout.branches}  # which are not kept: a turn's alone

    def turns(self) -> list[Turn]:
        layout = self._job.layout
        found = self._answered(layout, layout.branches)
        for followup, limit in self._job.feedback:
            layout = extend(layout, found[-1].answer.tokens, followup, limit)
            found += self._answered(layout, layout.branches[-1:])
        return found

    def _answered(self, layout: Layout, branches: Sequence[Branch]) -> list[Turn]:
        prompts = tuple(Prompt(b.turn, layout.trunk[: b.leaves] + b.suffix, b.max_new_tokens) for b in branches)
        if not self._job.each_query:
            return self._replied(layout, prompts, self._job.layout.base)
        return [turn for one in prompts for turn in self._replied(layout, (one,), len(one.tokens))]

    def _replied(self, layout: Layout, prompts: tuple[Prompt, ...], base: int) -> list[Turn]:
        budget = self._job.budget
        ask = Ask(
            session=f"{self._job.cell}/{self._asked.session}",
            prompts=prompts,
            stop=tuple(sorted(self._asked.stop)),
            base=base,
            context=layout.context,
            protected=layout.protected,
            method=self._method,
            tokens=None if budget is None else budget.tokens(base, self._client.about.token_bytes or 1),
        )
        left = None if self._end is None else max(0.0, self._end - time.monotonic())
        began = time.perf_counter()
        try:
            replies = self._client.answer(ask, left, lambda done, total: self._asked.phase("answers", done, total))
        except TimeoutError as error:
            raise TimeoutError(f"engine.timeout={self._asked.timeout} s is over") from error
        seconds = time.perf_counter() - began
        by_turn = {reply.turn: reply for reply in replies}
        turns = [
            self._turn(prompt, by_turn[prompt.turn], StageTime(seconds, "batch", len(prompts))) for prompt in prompts
        ]
        self._known += [turn.prompt + _read(turn.answer) for turn in turns]  # of which a later ask may find the KV
        return turns

    def _turn(self, prompt: Prompt, reply: Reply, served: StageTime) -> Turn:
        block = self._client.about.block
        cacheable = None if block is None else cacheable_tokens(prompt.tokens, self._known, block)
        self._known.append(prompt.tokens)
        return Turn(
            answer=Answer(reply.tokens, reply.stopped),
            prompt=prompt.tokens,
            kept=tuple(tokens - self._questions.get(prompt.turn, 0) for tokens in reply.kept),
            density=(),
            noop=reply.idle,
            kv_bytes=None if reply.kv_bytes is None else KvBytes(**reply.kv_bytes),
            times={"served": served, **{stage: StageTime(own, "own") for stage, own in reply.seconds.items()}},
            kernels=(),
            peak_bytes=reply.peak,
            serving=Serving(reply.wait, _rate(reply), reply.cached, cacheable, reply.form),
        )


def _read(answer: Answer) -> Tokens:
    """The answer's tokens that the model has read; the last one only if something was asked for behind it."""
    return answer.tokens if answer.stopped == "stop" else answer.tokens[:-1]


def _rate(reply: Reply) -> float | None:
    """Tokens per second after the first one."""
    return (len(reply.tokens) - 1) / reply.decode if reply.decode and len(reply.tokens) > 1 else None


def cacheable_tokens(prompt: Tokens, before: Sequence[Tokens], block: int) -> int:
    """The prompt's tokens in whole blocks that an earlier prompt of the session begins with too.

    An engine must compute the last token of a prompt to go on from it, so a block that ends with it does not count.
    """
    common = max((_common(prompt, other) for other in before), default=0)
    return min(common, len(prompt) - 1) // block * block


def _common(one: Tokens, other: Tokens) -> int:
    for place, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return place
    return min(len(one), len(other))
