"""Branches do not see each other, cells do not see each other, and nothing of the dense trunk leaks."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles import engine, tiny
from scbench.engine.config import EngineConfig
from scbench.engine.job import Job
from scbench.engine.session import run_session
from scbench.methods.budget import Budget
from scbench.methods.compose import compose
from scbench.methods.compression.streaming_llm import StreamingLLM
from scbench.methods.generation.a_shape import AShape
from scbench.methods.generation.dense import Dense
from scbench.record import Outcome
from scbench.segments.dense import DenseSegment

LIMIT = 8
DIALOGUE = tiny.dialogue(turns=4)


@pytest.fixture(scope="module")
def decoder():
    return engine.decoder(tiny.model("llama", "eager"))


@pytest.fixture(scope="module")
def gemma():
    return engine.decoder(tiny.model("gemma3", "eager"))


@settings(max_examples=25, deadline=None)
@given(order=st.permutations(range(4)), count=st.integers(1, 4), mode=st.sampled_from(["multi_turn", "multi_request"]))
def test_any_subset_in_any_order_gives_the_same_answers(decoder, order, count, mode):
    whole = engine.job(DIALOGUE, mode, LIMIT, StreamingLLM(5, 24))
    chosen = [whole.layout.branches[turn] for turn in order[:count]]
    part = replace(whole, cell="part", layout=replace(whole.layout, branches=tuple(chosen)))
    done = engine.run(decoder, [whole, part], DIALOGUE.stop)
    assert [t.answer for t in done["part"]] == [done[whole.cell][turn].answer for turn in order[:count]]


def every_cell():
    streaming = StreamingLLM(5, 24)
    for mode in ("multi_turn", "multi_request"):
        yield engine.job(DIALOGUE, mode, LIMIT, name=f"dense-{mode}")
        yield engine.job(DIALOGUE, mode, LIMIT, streaming, name=f"streaming-{mode}")
        yield engine.job(DIALOGUE, mode, LIMIT, streaming, Budget(0.5), name=f"half-{mode}")
    yield engine.job(DIALOGUE, "multi_turn", LIMIT, history="generated", name="dense-generated")
    yield engine.job(DIALOGUE, "multi_turn", LIMIT, streaming, history="generated", name="streaming-generated")
    yield engine.job(DIALOGUE, "multi_turn", LIMIT, streaming, query="free", name="streaming-free")


@pytest.mark.parametrize("name", ["decoder", "gemma"])
def test_a_family_gives_what_its_cells_give_alone(name, request):
    one = request.getfixturevalue(name)
    together = engine.run(one, list(every_cell()), DIALOGUE.stop)
    for cell in every_cell():
        alone = engine.run(one, [cell], DIALOGUE.stop)
        assert [t.answer for t in together[cell.cell]] == [t.answer for t in alone[cell.cell]], cell.cell
        assert [t.kv_bytes for t in together[cell.cell]] == [t.kv_bytes for t in alone[cell.cell]], cell.cell


@pytest.mark.parametrize("name", ["decoder", "gemma"])
def test_one_batch_for_the_family_gives_the_same(name, request):
    one = request.getfixturevalue(name)
    cells = list(every_cell())
    apart = engine.run(one, cells, DIALOGUE.stop)
    together = engine.run(one, cells, DIALOGUE.stop, batch="family")
    for cell in cells:
        assert [t.answer for t in together[cell.cell]] == [t.answer for t in apart[cell.cell]], cell.cell
        assert [t.kv_bytes for t in together[cell.cell]] == [t.kv_bytes for t in apart[cell.cell]], cell.cell
    known = [cell.cell for cell in cells if not cell.feedback]
    assert {turn.times["decode"].width for name in known for turn in together[name]} == {4 * len(known)}


def test_a_failing_family_batch_is_answered_cell_by_cell(decoder, caplog):
    cells = [engine.job(DIALOGUE, "multi_turn", LIMIT, StreamingLLM(5, 24), name=name) for name in ("good", "bad")]
    real, most = decoder.open, 4

    def limited(rows):
        if len(rows) > most:
            raise RuntimeError("not enough memory: you tried to allocate 1 byte")
        return real(rows)

    decoder.open = limited
    try:
        together = engine.run(decoder, cells, DIALOGUE.stop, batch="family")
    finally:
        del decoder.open
    apart = engine.run(decoder, cells, DIALOGUE.stop)
    assert {name: [t.answer for t in turns] for name, turns in together.items()} == {
        name: [t.answer for t in turns] for name, turns in apart.items()
    }
    assert "the family's batch of 8 branches failed" in caplog.text
    assert {turn.times["decode"].width for turn in together["good"]} == {4}


class PoisoningStreamingLLM(StreamingLLM):
    """Overwrites the dense KV it was given, after having taken what it keeps."""

    def compress(self, segment, queries, layer, base):
        kept = super().compress(segment, queries, layer, base)
        segment.k_GLD.fill_(float("nan"))
        segment.v_GLD.fill_(float("nan"))
        return kept


@pytest.mark.parametrize("mode", ["multi_turn", "multi_request"])
@pytest.mark.parametrize("history", ["gold", "generated"])
def test_nothing_is_taken_from_the_dense_trunk_once_a_method_has_acted(decoder, mode, history):
    plain = engine.answers(decoder, DIALOGUE, mode, LIMIT, StreamingLLM(5, 24), None, history)
    assert engine.answers(decoder, DIALOGUE, mode, LIMIT, PoisoningStreamingLLM(5, 24), None, history) == plain


class Raising(StreamingLLM):
    error: Exception = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")

    def compress(self, segment, queries, layer, base):
        if layer.index == 1:
            raise self.error
        return super().compress(segment, queries, layer, base)


class Lazy(StreamingLLM):
    def compress(self, segment, queries, layer, base):
        return segment


class RaisingInPrefill(AShape):
    def prefill(self, prompt, layer):
        if layer.index == 1:
            raise NO_MEMORY
        return super().prefill(prompt, layer)


class RaisingSegment(DenseSegment):
    """Has no memory for what is read after the base: questions, later prompts, answers."""

    def attend(self, q_GND, visible, spec, kernels):
        raise NO_MEMORY


class RaisingInDecode(StreamingLLM):
    def compress(self, segment, queries, layer, base):
        return RaisingSegment(segment.start, segment.k_GLD, segment.v_GLD)


NO_MEMORY = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")
FAILING = [
    (Raising(5, 24), Outcome.OOM, "can't allocate memory"),
    (RaisingInPrefill(5, 17), Outcome.OOM, "can't allocate memory"),
    (RaisingInDecode(5, 24), Outcome.OOM, "can't allocate memory"),
    (Lazy(5, 24), Outcome.ERROR, "Lazy should have acted on layer 0 and did not"),
]


@pytest.mark.parametrize(("method", "outcome", "words"), FAILING, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("mode", ["multi_turn", "multi_request"])
@pytest.mark.parametrize("history", ["gold", pytest.param("generated", marks=pytest.mark.slow)])
@pytest.mark.parametrize("batch", ["method", "family"])
@pytest.mark.parametrize("place", [1, *(pytest.param(place, marks=pytest.mark.slow) for place in (0, 2, 3))])
def test_a_failing_method_costs_itself_only(decoder, method, outcome, words, mode, history, batch, place):
    methods = {"dense": Dense(), "streaming": StreamingLLM(5, 24), "planned": AShape(5, 17)}
    names = [*methods]
    names.insert(place, "failing")
    jobs = [
        engine.job(DIALOGUE, mode, LIMIT, methods.get(name, method), None, history, name=name, measured=True)
        for name in names
    ]
    config = EngineConfig(batch=batch)
    done = {d.job.cell: d for d in run_session(decoder, jobs, DIALOGUE.stop, config, lambda *_: None, 200)}
    assert len(done) == len(jobs)
    assert done["failing"].failure.outcome is outcome
    assert words in done["failing"].failure.detail
    for name, one in methods.items():
        assert done[name].failure is None, done[name].failure
        alone = engine.answers(decoder, DIALOGUE, mode, LIMIT, one, None, history)
        assert [list(turn.answer.tokens) for turn in done[name].turns] == alone


def test_a_deadline_ends_a_job_with_a_timeout(decoder):
    jobs, hurried = [engine.job(DIALOGUE, "multi_turn", LIMIT)], EngineConfig(timeout=0.0)
    (done,) = run_session(decoder, jobs, DIALOGUE.stop, hurried, lambda *_: None, 99)
    assert done.failure.outcome is Outcome.TIMEOUT


def test_a_layout_with_another_beginning_starts_from_the_common_prefix(decoder, gemma):
    """Two layouts that part inside the context: neither may read the other's tokens."""
    other = replace(DIALOGUE, context=(*DIALOGUE.context[:40], *reversed(DIALOGUE.context[40:]), 7, 8))
    for one in (decoder, gemma):
        jobs = [
            engine.job(DIALOGUE, "multi_request", LIMIT, name="first"),
            engine.job(other, "multi_request", LIMIT, name="second"),
            engine.job(DIALOGUE, "multi_turn", LIMIT, name="third"),
        ]
        together = engine.run(one, jobs, DIALOGUE.stop)
        for single in jobs:
            alone = engine.run(one, [single], DIALOGUE.stop)[single.cell]
            assert [t.answer for t in together[single.cell]] == [t.answer for t in alone]


def test_bytes_are_those_of_the_formula(decoder):
    """Llama of the oracle: 3 layers, 2 KV heads of 12 dimensions, float32."""
    token = 3 * 2 * 2 * 12 * 4
    job = engine.job(DIALOGUE, "multi_turn", LIMIT, StreamingLLM(5, 24))
    (turns,) = engine.run(decoder, [job], DIALOGUE.stop).values()
    base = job.layout.base
    for turn, branch in zip(turns, job.layout.branches, strict=True):
        seen = 29 + branch.leaves - base
        assert turn.kept == (seen, seen, seen)
        assert turn.kv_bytes.dense == branch.leaves * token
        assert turn.kv_bytes.touched == seen * token
        assert turn.kv_bytes.stored == seen * token + 3 * 2 * 29 * 8
        assert turn.prompt == job.layout.trunk[: branch.leaves]
    (requests,) = engine.run(decoder, [engine.job(DIALOGUE, "multi_request", LIMIT)], DIALOGUE.stop).values()
    for turn, question in zip(requests, DIALOGUE.opening, strict=True):
        assert turn.kv_bytes.stored == turn.kv_bytes.dense == (61 + len(question)) * token
        assert turn.prompt == (*DIALOGUE.context, *question)


def test_sliding_window_layers_hold_little_more_than_their_window():
    """On a context of 400 tokens, layers with a window of 16 let go of what nobody can see any more."""
    dialogue = tiny.dialogue(context=400)
    decoder = engine.decoder(tiny.model("gemma3", "eager"), chunk=32)
    (turns,) = engine.run(decoder, [engine.job(dialogue, "multi_turn", LIMIT)], dialogue.stop).values()
    sliding, full, _ = turns[0].kept
    assert full == 400 + len(dialogue.opening[0])
    assert 15 <= sliding <= 2 * 16 + 32


def test_trunk_kv_is_shared_by_reference(decoder):
    """Two forks of a trunk read the same memory."""
    from scbench.engine.answer import Deadline
    from scbench.engine.trunk import Trunk

    trunk = Trunk.empty(decoder.adapter.shape, 61)
    with torch.inference_mode():
        decoder.extend(trunk, DIALOGUE.context, 61, Deadline(None), lambda *_: None)
        forks = [trunk.fork(), trunk.fork()]
    for layer in range(3):
        addresses = {s.k_GLD.data_ptr() for t in (trunk, *forks) for s in t.segments(layer)}
        assert len(addresses) == 1
        assert all(isinstance(s, DenseSegment) for s in forks[0].segments(layer))


def test_a_job_is_plain_data():
    assert engine.job(DIALOGUE, "multi_turn", LIMIT) == engine.job(DIALOGUE, "multi_turn", LIMIT)
    assert engine.job(DIALOGUE, "multi_turn", LIMIT).method == compose([Dense()])
    assert isinstance(engine.job(DIALOGUE, "multi_turn", LIMIT), Job)
