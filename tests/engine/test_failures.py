"""Failures at odd places: a source, a context that is put together, a reference, what a method says of itself."""

import pytest

from oracles import engine, tiny
from scbench.engine.config import EngineConfig
from scbench.engine.session import run_session
from scbench.engine.trunk import Trunk
from scbench.methods.compression.kivi import Kivi
from scbench.methods.compression.streaming_llm import StreamingLLM
from scbench.methods.generation.a_shape import AShape
from scbench.methods.retrieval.epic import Epic
from scbench.record import Outcome

DIALOGUE = tiny.dialogue()
LIMIT = 5
MODES = ("multi_turn", "multi_request")
NO_MEMORY = MemoryError("no memory left")


def done(jobs, batch="method", fidelity="none"):
    config = EngineConfig(batch=batch, fidelity=fidelity)
    decoder = engine.decoder(tiny.model("llama", "eager"))
    found = {d.job.cell: d for d in run_session(decoder, jobs, DIALOGUE.stop, config, lambda *_: None, 200)}
    assert len(found) == len(jobs)
    return found


def same(one, method, mode):
    assert one.failure is None, one.failure
    alone = engine.answers(engine.decoder(tiny.model("llama", "eager")), DIALOGUE, mode, LIMIT, method)
    assert [list(turn.answer.tokens) for turn in one.turns] == alone


class Once:
    """Raises the first time that it is called."""

    def __init__(self, plain, nth=1):
        self.plain, self.calls, self.nth = plain, 0, nth

    def __call__(self, *args, **kwargs):
        self.calls += 1
        if self.calls == self.nth:
            raise NO_MEMORY
        return self.plain(*args, **kwargs)


@pytest.mark.parametrize("batch", ["method", "family"])
def test_a_context_half_put_together_is_not_taken_for_whole(monkeypatch, batch):
    monkeypatch.setattr(Epic, "recompute", Once(Epic(20, 4).recompute))
    jobs = [
        engine.job(DIALOGUE, "multi_request", LIMIT, Epic(20, 4), name="first"),
        engine.job(DIALOGUE, "multi_request", LIMIT, (Epic(20, 4), Kivi(2, 8, 8)), name="second"),
        engine.job(DIALOGUE, "multi_turn", LIMIT, Epic(20, 4), name="third"),
    ]
    found = done(jobs, batch)
    monkeypatch.undo()
    assert found["first"].failure.outcome is Outcome.OOM
    same(found["second"], (Epic(20, 4), Kivi(2, 8, 8)), "multi_request")
    same(found["third"], Epic(20, 4), "multi_turn")


@pytest.mark.parametrize("batch", ["method", "family"])
def test_a_source_that_has_no_room_costs_its_own_jobs(monkeypatch, batch):
    jobs = [
        engine.job(DIALOGUE, "multi_turn", LIMIT, name="dense"),
        engine.job(DIALOGUE, "multi_turn", LIMIT, AShape(5, 17), name="planned"),
        engine.job(DIALOGUE, "multi_turn", LIMIT, StreamingLLM(5, 24), name="streaming"),
    ]
    monkeypatch.setattr(Trunk, "empty", Once(Trunk.empty, nth=2))
    found = done(jobs, batch)
    monkeypatch.undo()
    assert found["planned"].failure.outcome is Outcome.OOM
    same(found["dense"], None, "multi_turn")
    same(found["streaming"], StreamingLLM(5, 24), "multi_turn")


class Unasked(AShape):
    def idle(self, base):
        raise NO_MEMORY


class Listed(AShape):
    __hash__ = None


@pytest.mark.parametrize("method", [Unasked(5, 17), Listed(5, 17)])
@pytest.mark.parametrize("batch", ["method", "family"])
def test_a_method_that_cannot_say_what_it_needs_costs_itself(method, batch):
    jobs = [
        engine.job(DIALOGUE, "multi_turn", LIMIT, method, name="odd"),
        engine.job(DIALOGUE, "multi_turn", LIMIT, StreamingLLM(5, 24), name="streaming"),
    ]
    found = done(jobs, batch)
    assert found["odd"].failure is not None
    same(found["streaming"], StreamingLLM(5, 24), "multi_turn")


@pytest.mark.parametrize("batch", ["method", "family"])
def test_a_dense_reference_that_breaks_off_is_computed_again(monkeypatch, batch):
    from scbench.engine import dense_reference

    methods = {"streaming": StreamingLLM(5, 24), "kivi": Kivi(2, 8, 8)}
    jobs = [engine.job(DIALOGUE, "multi_turn", LIMIT, m, name=n, measured=True) for n, m in methods.items()]
    made = []
    plain = dense_reference.start

    def start(*args, **kwargs):
        run = plain(*args, **kwargs)
        if not made:
            monkeypatch.setattr(run, "extend", Once(run.extend))
        made.append(run)
        return run

    monkeypatch.setattr(dense_reference, "start", start)
    found = done(jobs, batch, "auto")
    failed = [name for name in methods if found[name].failure is not None]
    assert len(failed) == 1
    (other,) = set(methods) - set(failed)
    same(found[other], methods[other], "multi_turn")
    assert all(turn.fidelity.kl_to_dense >= 0 for turn in found[other].turns)
