"""Dense again: in other chunks and batches, with the same answers, and a divergence that is rounding alone."""

from dataclasses import replace

import pytest

from oracles import engine, tiny
from scbench.engine.answer import Decoder
from scbench.engine.config import EngineConfig
from scbench.engine.session import run_session
from scbench.errors import ScbenchError
from scbench.methods.bounds.dense_repeat import DenseRepeat
from scbench.methods.compression.snapkv import SnapKV
from scbench.methods.generation.a_shape import AShape
from scbench.methods.generation.dense import Dense
from scbench.record import Outcome

LIMIT = 6
BOTH = pytest.mark.parametrize("mode", ["multi_turn", "multi_request"])
REPEAT = DenseRepeat(chunk=7)


@pytest.fixture
def passes(monkeypatch):
    """Per pass of the model its rows and new tokens."""
    seen = []
    step = Decoder._predicting

    def spy(decoder, batch, new, *args):
        seen.append((len(new), max(map(len, new))))
        return step(decoder, batch, new, *args)

    monkeypatch.setattr(Decoder, "_predicting", spy)
    return seen


def done(decoder, dialogue, mode, methods, history="gold", **options):
    """Per method what became of its job."""
    jobs = [
        engine.job(dialogue, mode, LIMIT, method, history=history, name=str(number), measured=True)
        for number, method in enumerate(methods)
    ]
    config = EngineConfig(**options)
    found = {d.job.cell: d for d in run_session(decoder, jobs, dialogue.stop, config, lambda *_: None, 250)}
    return [found[str(number)] for number in range(len(methods))]


def turns(*args, **kwargs):
    results = done(*args, **kwargs)
    assert not any(result.failure for result in results), [r.failure and r.failure.trace for r in results]
    return [result.turns for result in results]


@pytest.mark.parametrize(
    ("mode", "history"), [("multi_turn", "gold"), ("multi_turn", "generated"), ("multi_request", "gold")]
)
@pytest.mark.parametrize("name", ["llama", "gemma3", "bamba"])
def test_the_answers_are_those_of_dense(name, mode, history):
    decoder, dialogue = engine.decoder(tiny.model(name, "eager")), tiny.dialogue()
    dense, again = turns(decoder, dialogue, mode, [Dense(), REPEAT], history)
    assert [turn.answer for turn in again] == [turn.answer for turn in dense]
    assert not any(turn.noop for turn in again), "it is a cell with numbers of its own"
    assert all(turn.fidelity.kl_to_dense < 1e-6 for turn in again)


@BOTH
@pytest.mark.parametrize("width", [1, 2])
def test_prompts_and_branches_go_through_the_model_in_its_own_portions(passes, mode, width):
    """Gold answers too, whose predictions are compared."""
    decoder, dialogue = engine.decoder(tiny.model("llama", "eager"), chunk=16), tiny.dialogue()
    ((*_, last),) = turns(decoder, dialogue, mode, [Dense()], fidelity="gold")
    assert (last.times["decode"].width, max(passes)[0]) == (3, 3)
    assert (1, 16) in passes
    passes.clear()
    ((*_, last),) = turns(decoder, dialogue, mode, [DenseRepeat(7, width)], fidelity="gold")
    assert max(passes)[0] == width
    assert {last.times[stage].width for stage in ("question", "decode")} == {3}, "the times of all three are added up"
    assert passes[:8] == [(1, 7)] * 8, "the context has 61 tokens"
    assert (1, 16) not in passes


@BOTH
@pytest.mark.parametrize("batch", ["method", "family"])
@pytest.mark.parametrize("dense", [True, False])
def test_in_short_numbers_it_differs_from_dense_a_little(mode, batch, dense):
    """Whether or not a dense cell runs beside it."""
    decoder, dialogue = engine.decoder(tiny.model("llama", "eager").bfloat16()), tiny.dialogue(stretch=3)
    methods = [REPEAT, *([Dense(), SnapKV(30, 7, 5)] if dense else [])]
    again, *others = turns(decoder, dialogue, mode, methods, batch=batch)
    noise = [turn.fidelity.kl_to_dense for turn in again]
    assert all(0 < one < 0.1 for one in noise)
    if dense:
        (usual, compressed) = others
        assert all(turn.fidelity.kl_to_dense == 0 for turn in usual)
        assert sum(turn.fidelity.kl_to_dense for turn in compressed) > 3 * sum(noise)
        wanted = [turn.fidelity.log_likelihood for turn in usual]
        assert [turn.fidelity.log_likelihood for turn in again] != wanted
        assert [turn.fidelity.log_likelihood for turn in again] == pytest.approx(wanted, rel=0.1)


def test_a_dense_prefill_in_the_family_is_not_made_again_for_it(passes):
    decoder, dialogue = engine.decoder(tiny.model("llama", "eager"), chunk=16), tiny.dialogue()
    for batch in ("method", "family"):
        passes.clear()
        turns(decoder, dialogue, "multi_request", [REPEAT, Dense()], batch=batch)
        assert passes.count((1, 16)) == 61 // 16
        passes.clear()
        turns(decoder, dialogue, "multi_request", [REPEAT], batch=batch, fidelity="gold")
        assert passes.count((1, 16)) == 0


@BOTH
@pytest.mark.parametrize("method", [SnapKV(30, 7, 5), AShape(5, 17)])
def test_another_method_can_be_repeated_too(mode, method):
    decoder, dialogue = engine.decoder(tiny.model("llama", "eager")), tiny.dialogue()
    once, again, dense = turns(decoder, dialogue, mode, [method, (REPEAT, method), Dense()])
    assert [turn.answer for turn in again] == [turn.answer for turn in once]
    assert [turn.answer for turn in again] != [turn.answer for turn in dense]
    assert [turn.kept for turn in again] == [turn.kept for turn in once]


def test_the_engines_own_chunk_would_repeat_nothing():
    decoder, dialogue = engine.decoder(tiny.model("llama", "eager"), chunk=7), tiny.dialogue()
    refused, dense = done(decoder, dialogue, "multi_turn", [REPEAT, Dense()])
    assert refused.failure.outcome is Outcome.ERROR
    assert "chunk=7 is the engine's own (engine.chunk)" in refused.failure.detail
    assert dense.failure is None


@pytest.mark.parametrize("options", [{"chunk": 0}, {"width": 0}])
def test_values_out_of_their_domain_are_refused(options):
    with pytest.raises(ScbenchError, match="must be >= 1"):
        replace(REPEAT, **options)
