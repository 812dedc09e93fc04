"""Runs the engine on a dialogue the way a family does, for comparison with the naive loop."""

import torch

from scbench.engine.adapter import Adapter
from scbench.engine.answer import Decoder
from scbench.engine.config import EngineConfig
from scbench.engine.job import Job
from scbench.engine.session import run_session
from scbench.kernels.choose import Kernels
from scbench.methods.compose import compose
from scbench.methods.generation.dense import Dense
from scbench.modes import Mode, build_layout, with_query


def decoder(model, chunk=16, storey="auto"):
    return Decoder(Adapter(model), Kernels(model.device, model.dtype, storey), chunk)


def job(
    dialogue,
    mode,
    limit,
    method=None,
    budget=None,
    history="gold",
    query="auto",
    name=None,
    compress="once",
    measured=False,
    places=(),
):
    limits = (limit,) * len(dialogue.opening)
    layout = build_layout(Mode(mode), dialogue, limits, history)
    if query != "auto":
        parts = method if isinstance(method, tuple) else (method or Dense(),)
        layout = with_query(layout, query, all(part.only_plans() for part in parts))
    feedback = ()
    if history == "generated" and mode == "multi_turn":
        feedback = tuple(zip(dialogue.followup[1:], limits[1:], strict=True))
    gold = dialogue.gold if measured else ()
    method = compose(method if isinstance(method, tuple) else (method or Dense(),))
    name = name or f"{mode}-{history}"
    return Job(name, layout, method, budget, feedback, compress, query == "each", gold, gold_places=places)


def run(engine, jobs, stop, batch="method"):
    """Every job's turns by cell name; a failed job raises."""
    done = {}
    with torch.inference_mode():
        for result in run_session(engine, jobs, stop, EngineConfig(batch=batch), lambda *_: None, longest(jobs)):
            assert result.failure is None, result.failure and result.failure.trace
            done[result.job.cell] = result.turns
    assert len(done) == len(jobs)
    return done


def longest(jobs):
    """As `modes.longest_sequence` counts, for jobs of one dialogue."""

    def tokens(job):
        later = sum(len(followup) + limit for followup, limit in job.feedback)
        return max(b.leaves + len(b.suffix) + b.max_new_tokens for b in job.layout.branches) + later

    return max(map(tokens, jobs))


def answers(engine, dialogue, *args, **kwargs):
    (turns,) = run(engine, [job(dialogue, *args, **kwargs)], dialogue.stop).values()
    return [list(turn.answer.tokens) for turn in turns]
