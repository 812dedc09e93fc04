"""Models with recurrent states in the whole engine: dense equals generate, families share states, methods act."""

import pytest
from test_exactness import BOTH, LIMIT, generate, prompts

from oracles import engine, tiny
from scbench.methods.compression.kivi import Kivi
from scbench.methods.compression.streaming_llm import StreamingLLM
from scbench.methods.generation.minference import MInference
from scbench.methods.loading.quest import Quest

FAST = {"mamba2", "bamba", "granite_hybrid"}
NAMES = [pytest.param(n, marks=[] if n in FAST else [pytest.mark.slow]) for n in sorted(tiny.STATES)]
HYBRIDS = ["bamba", "granite_hybrid"]


@BOTH
@pytest.mark.parametrize("name", NAMES)
def test_dense_equals_generate(name, mode):
    dialogue, reference = tiny.dialogue(), tiny.model(name, "eager")
    expected = [generate(reference, prompt, dialogue.stop) for prompt in prompts(dialogue, mode)]
    assert engine.answers(engine.decoder(tiny.model(name, "eager")), dialogue, mode, LIMIT) == expected


@pytest.mark.parametrize("name", NAMES)
def test_generated_history_equals_generate(name):
    dialogue, reference = tiny.dialogue(), tiny.model(name, "eager")
    whole, expected = [*dialogue.context, *dialogue.opening[0]], []
    for turn in range(len(dialogue.opening)):
        expected.append(generate(reference, whole, dialogue.stop))
        if turn + 1 < len(dialogue.opening):
            whole += [*expected[-1], *dialogue.followup[turn + 1]]
    decoder = engine.decoder(tiny.model(name, "eager"))
    assert engine.answers(decoder, dialogue, "multi_turn", LIMIT, history="generated") == expected


def cells(dialogue):
    methods = {
        "dense": None,
        "streaming": StreamingLLM(5, 24),
        "kivi": Kivi(2, 8, 8),
        "quest": Quest(16, 4, 0),
        "minference": MInference(9, 7, 6, 2, 3, 4),
    }
    for mode in ("multi_turn", "multi_request"):
        for name, method in methods.items():
            yield engine.job(dialogue, mode, LIMIT, method, name=f"{name}-{mode}")
        yield engine.job(dialogue, mode, LIMIT, StreamingLLM(5, 24), query="each", name=f"each-{mode}")


@pytest.mark.parametrize("batch", ["method", "family"])
@pytest.mark.parametrize("name", HYBRIDS)
def test_a_family_gives_what_its_cells_give_alone(name, batch):
    dialogue, decoder = tiny.dialogue(), engine.decoder(tiny.model(name, "eager"))
    together = engine.run(decoder, list(cells(dialogue)), dialogue.stop, batch)
    for cell in cells(dialogue):
        alone = engine.run(decoder, [cell], dialogue.stop)[cell.cell]
        assert [t.answer for t in together[cell.cell]] == [t.answer for t in alone], cell.cell
        assert [t.kv_bytes for t in together[cell.cell]] == [t.kv_bytes for t in alone], cell.cell
    for mode in ("multi_turn", "multi_request"):
        dense = [t.answer for t in together[f"dense-{mode}"]]
        assert any([t.answer for t in together[f"{m}-{mode}"]] != dense for m in ("streaming", "kivi", "quest"))


@pytest.mark.parametrize("name", ["mamba2", "bamba"])
def test_states_are_counted_and_methods_without_keys_are_noops(name):
    dialogue, decoder = tiny.dialogue(), engine.decoder(tiny.model(name, "eager"))
    job = engine.job(dialogue, "multi_request", LIMIT, StreamingLLM(5, 24))
    (turns,) = engine.run(decoder, [job], dialogue.stop).values()
    token = decoder.adapter.shape.token_bytes * decoder.adapter.shape.layers
    sizes = {turn.kv_bytes.dense - token * len(turn.prompt) for turn in turns}
    assert len(sizes) == 1 and sizes == {turn.kv_bytes.state for turn in turns} and sizes.pop() > 0
    assert all(turn.noop == (name == "mamba2") for turn in turns)
