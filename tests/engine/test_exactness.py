"""The engine equals transformers' own generate (dense) and the naive sequential loop (every method)."""

from dataclasses import replace

import pytest
import torch

from oracles import engine, naive, tiny
from scbench.engine import adapter
from scbench.methods.budget import Budget
from scbench.methods.compression.streaming_llm import StreamingLLM
from scbench.methods.generation.dense import Dense

LIMIT = 10
MODELS = sorted(tiny.CONFIGS)
BOTH = pytest.mark.parametrize("mode", ["multi_turn", "multi_request"])
HISTORY = pytest.mark.parametrize("history", ["gold", "generated"])
# 61 + 3..9 tokens of base: fewer than the base everywhere, more than some sliding windows
STREAMING = StreamingLLM(sinks=5, window=24)


def stays(base: int) -> set[int]:
    """StreamingLLM's rule for STREAMING; the protected tokens (0..3) are among its sinks."""
    return set(range(5)) | set(range(base - 24, base))


def generate(model, prompt, stop, limit=LIMIT):
    """transformers' own greedy generation, without the stop token."""
    output = model.generate(
        torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt)), max_new_tokens=limit, do_sample=False
    )[0, len(prompt) :].tolist()
    return output[:-1] if output[-1] in stop else output


def prompts(dialogue, mode):
    """Every turn's whole prompt, by plain concatenation."""
    if mode == "multi_request":
        return [[*dialogue.context, *question] for question in dialogue.opening]
    whole, result = [*dialogue.context, *dialogue.opening[0]], []
    for turn in range(len(dialogue.opening)):
        result.append(list(whole))
        if turn + 1 < len(dialogue.opening):
            whole += [*dialogue.gold[turn], *dialogue.followup[turn + 1]]
    return result


@BOTH
@pytest.mark.parametrize("name", MODELS)
def test_dense_equals_generate(name, mode):
    for seed in range(2):
        dialogue = tiny.dialogue(seed)
        reference = tiny.model(name, "eager")
        expected = [generate(reference, prompt, dialogue.stop) for prompt in prompts(dialogue, mode)]
        assert engine.answers(engine.decoder(tiny.model(name, "eager")), dialogue, mode, LIMIT) == expected


@BOTH
@pytest.mark.parametrize("name", ["gemma2", "gemma3", "gpt_oss", "mistral_sliding", "phi3_sliding"])
def test_turns_and_answers_longer_than_the_window_equal_generate(name, mode):
    """Questions, gold answers and answers that each outgrow the sliding window."""
    dialogue, reference = tiny.dialogue(stretch=6), tiny.model(name, "eager")
    expected = [generate(reference, prompt, dialogue.stop, 48) for prompt in prompts(dialogue, mode)]
    assert max(map(len, expected)) == 48
    decoder = engine.decoder(tiny.model(name, "eager"))
    assert engine.answers(decoder, dialogue, mode, 48) == expected


@BOTH
@HISTORY
@pytest.mark.parametrize("name", MODELS)
def test_streaming_llm_equals_the_naive_loop(name, mode, history):
    dialogue, model = tiny.dialogue(), tiny.model(name, "naive")
    if mode == "multi_request":
        expected = naive.multi_request(model, dialogue, stays, LIMIT)
    else:
        expected = naive.multi_turn(model, dialogue, stays, LIMIT, history)
    answers = engine.answers(engine.decoder(tiny.model(name, "eager")), dialogue, mode, LIMIT, STREAMING, None, history)
    assert answers == expected


@BOTH
@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma3", "glm4"])
def test_dropping_changes_the_answers(name, mode):
    """Without this the comparison above could not fail: the hook as identity would pass it."""
    dialogue, decoder = tiny.dialogue(), engine.decoder(tiny.model(name, "eager"))
    dense = engine.answers(decoder, dialogue, mode, LIMIT)
    assert engine.answers(decoder, dialogue, mode, LIMIT, STREAMING) != dense


@BOTH
@pytest.mark.parametrize(("name", "forgotten"), [("gemma2", "softcap"), ("gpt_oss", "sinks_H")])
def test_soft_caps_and_sinks_change_the_answers(name, forgotten, mode, monkeypatch):
    """The same for what a layer asks of its scores."""
    dialogue, decoder = tiny.dialogue(), engine.decoder(tiny.model(name, "eager"))
    whole = engine.answers(decoder, dialogue, mode, LIMIT)
    call = adapter.Call
    monkeypatch.setattr(adapter, "Call", lambda *args: replace(call(*args), **{forgotten: None}))
    assert engine.answers(decoder, dialogue, mode, LIMIT) != whole


@BOTH
@HISTORY
@pytest.mark.parametrize("name", ["llama", "gemma3"])
@pytest.mark.parametrize("method", [(StreamingLLM(), Budget(1.0)), (StreamingLLM(2, 3).lossless(), None)])
def test_a_budget_of_the_base_equals_dense_and_is_a_noop(name, mode, history, method):
    dialogue, decoder = tiny.dialogue(), engine.decoder(tiny.model(name, "eager"))
    whole = engine.job(dialogue, mode, LIMIT, method[0], method[1], history, name="whole")
    dense = engine.job(dialogue, mode, LIMIT, Dense(), None, history, name="dense")
    done = engine.run(decoder, [whole, dense], dialogue.stop)
    assert [t.answer for t in done["whole"]] == [t.answer for t in done["dense"]]
    assert all(turn.noop for turn in done["whole"])
    assert not any(turn.noop for turn in done["dense"])


def test_query_free_multi_turn_compresses_before_the_first_question():
    dialogue, model = tiny.dialogue(), tiny.model("llama", "naive")

    def expected():
        for turn in range(3):
            cache = naive.ListCache()
            naive.feed(model, cache, dialogue.context)
            cache.drop(stays(len(dialogue.context)))
            logits = naive.feed(model, cache, dialogue.opening[0])
            for past in range(turn):
                logits = naive.feed(model, cache, [*dialogue.gold[past], *dialogue.followup[past + 1]])
            yield naive.greedy(model, cache, logits, LIMIT, dialogue.stop)

    decoder = engine.decoder(tiny.model("llama", "eager"))
    answers = engine.answers(decoder, dialogue, "multi_turn", LIMIT, STREAMING, query="free")
    assert answers == list(expected())


@pytest.mark.parametrize("storey", ["auto", "reference"])
@pytest.mark.parametrize("chunk", [1, 7, 64, 4096])
@pytest.mark.parametrize("name", ["llama", "gemma2", "gemma3", "gpt_oss", "phi3_sliding"])
def test_chunks_and_kernels_change_nothing(name, chunk, storey):
    dialogue = tiny.dialogue()
    model = tiny.model(name, "eager")
    plain = engine.answers(engine.decoder(tiny.model(name, "eager")), dialogue, "multi_turn", LIMIT, STREAMING)
    assert engine.answers(engine.decoder(model, chunk, storey), dialogue, "multi_turn", LIMIT, STREAMING) == plain
