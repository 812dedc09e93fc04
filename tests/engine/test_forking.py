"""Cells whose every question has a fork of its own: what is read once, what is recorded, how long it may take."""

import pytest

from oracles import engine, tiny
from scbench.engine import session
from scbench.engine.answer import Decoder
from scbench.kernels.choose import Kernels
from scbench.kernels.paged import MASKED
from scbench.methods.compression.kivi import Kivi
from scbench.methods.generation.dense import Dense
from scbench.methods.loading.quest import Quest
from scbench.segments.dense import DenseSegment

MODES = ("multi_turn", "multi_request")


@pytest.fixture(scope="module")
def model():
    return tiny.model("llama", "eager")


@pytest.fixture(scope="module")
def talk():
    return tiny.dialogue(stretch=8)


@pytest.mark.parametrize("batch", ["method", "family"])
def test_kernels_that_read_the_questions_are_recorded(model, talk, batch, monkeypatch):
    """Many rows read pages under a mask, which an answer's few rows do not."""
    ran = set()
    taken = Kernels.taken

    def watched(self):
        names = taken(self)
        ran.update(names)
        return names

    monkeypatch.setattr(Kernels, "taken", watched)
    jobs = [
        engine.job(talk, "multi_request", 4, method, name=repr(method))
        for method in (Quest(24, 2, dense_layers=0), Kivi(2, 8, 4))
    ]
    done = engine.run(engine.decoder(model, 1024), jobs, frozenset(), batch)
    assert MASKED in ran
    assert ran == set().union(*(turn.kernels for turns in done.values() for turn in turns))


def test_a_familys_questions_have_the_familys_time(model, talk, monkeypatch):
    """Each cell's own deadline began when its method acted; the batch comes after all of them."""
    seconds = []
    made = session.Setting.deadline

    def counted(self, cells=1):
        deadline = made(self, cells)
        deadline.cells = cells
        return deadline

    monkeypatch.setattr(session.Setting, "deadline", counted)
    extend = Decoder.extend_each
    monkeypatch.setattr(
        Decoder, "extend_each", lambda self, *given: seconds.append(given[-1].cells) or extend(self, *given)
    )
    jobs = [engine.job(talk, "multi_request", 4, Kivi(2, 8, 4), name=f"{n}") for n in range(3)]
    engine.run(engine.decoder(model), jobs, frozenset(), "family")
    assert seconds == [3, 3, 3]


def test_what_branches_of_both_modes_share_is_read_once(model, talk, monkeypatch):
    """A step reads the context for all of them together, and nothing of it twice."""
    rows = []
    attend = DenseSegment.attend

    def watched(self, q_GND, visible, spec, kernels):
        if self.start == 0:
            rows.append(q_GND.shape[1])
        return attend(self, q_GND, visible, spec, kernels)

    jobs = [engine.job(talk, mode, 2, Dense(), name=mode) for mode in MODES]
    alone = engine.run(engine.decoder(model), jobs, frozenset())
    monkeypatch.setattr(DenseSegment, "attend", watched)
    together = engine.run(engine.decoder(model), jobs, frozenset(), "family")
    branches, config = 2 * len(talk.opening), model.config
    group = config.num_attention_heads // config.num_key_value_heads
    assert rows[-config.num_hidden_layers :] == [branches * group] * config.num_hidden_layers
    assert {name: [turn.answer for turn in turns] for name, turns in together.items()} == {
        name: [turn.answer for turn in turns] for name, turns in alone.items()
    }
