"""The embedded real model, both modes: against transformers' own generate, and against the naive loop."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from oracles import engine, naive, naive_methods, sequential
from scbench.methods.compression.kivi import Kivi
from scbench.methods.compression.snapkv import SnapKV
from scbench.methods.compression.streaming_llm import StreamingLLM
from scbench.methods.generation.a_shape import AShape
from scbench.methods.generation.minference import MInference
from scbench.methods.loading.quest import Quest
from scbench.models.model import ModelConfig, load
from scbench.prompts.dialogue import build_dialogue
from scbench.tasks.en_qa import EnQA
from scbench.tasks.retr_kv import RetrKV

pytestmark = pytest.mark.slow
CONFIG = ModelConfig("embedded:smollm2_135m")
LIMIT = 16


@pytest.fixture(scope="module")
def loaded():
    return load(CONFIG, torch.device("cpu"))


def another(attention):
    from scbench.models import embedded

    folder = embedded.ensure(CONFIG.path)
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation=attention).eval()


@pytest.fixture(scope="module")
def decoder(loaded):
    return engine.decoder(loaded.model, chunk=256)


@pytest.fixture(scope="module", params=[RetrKV(length=512, turns=3), EnQA(length=1024, turns=3)], ids=["kv", "qa"])
def dialogue(request, loaded):
    return build_dialogue(request.param.generate(0, loaded.tokenizer), request.param, loaded.tokenizer)


@pytest.mark.parametrize("mode", ["multi_turn", "multi_request"])
def test_dense_equals_generate(decoder, dialogue, mode):
    reference = another("sdpa")
    prompts, whole = [], [*dialogue.context, *dialogue.opening[0]]
    for turn in range(3):
        prompts.append([*dialogue.context, *dialogue.opening[turn]] if mode == "multi_request" else list(whole))
        whole += [*dialogue.gold[turn], *dialogue.followup[(turn + 1) % 3]]
    expected = []
    for prompt in prompts:
        output = reference.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt)),
            max_new_tokens=LIMIT,
            do_sample=False,
            eos_token_id=sorted(dialogue.stop),
        )[0, len(prompt) :].tolist()
        expected.append(output[:-1] if output[-1] in dialogue.stop else output)
    assert engine.answers(decoder, dialogue, mode, LIMIT) == expected


@pytest.mark.parametrize("mode", ["multi_turn", "generated", "multi_request"])
def test_streaming_llm_equals_the_naive_loop(decoder, loaded, mode):
    task = RetrKV(length=160, turns=2)
    dialogue = build_dialogue(task.generate(1, loaded.tokenizer), task, loaded.tokenizer)
    header = set(range(*dialogue.protected[0]))

    def stays(base):
        """40 sinks, of which the header is part or not; the rest of 120 tokens is the window."""
        fixed = header | set(range(40))
        return fixed | set(range(base - (120 - len(fixed)), base))

    method, model = StreamingLLM(sinks=40, window=80), another("naive")
    if mode == "multi_request":
        expected = naive.multi_request(model, dialogue, stays, 8)
        assert engine.answers(decoder, dialogue, mode, 8, method) == expected
    else:
        history = "generated" if mode == "generated" else "gold"
        expected = naive.multi_turn(model, dialogue, stays, 8, history)
        assert engine.answers(decoder, dialogue, "multi_turn", 8, method, None, history) == expected


# Sizes that cut pages, groups of keys and chunks.
PAIRS = {
    "snapkv": (SnapKV(90, 16, 5), lambda fixed: naive_methods.SnapKV(90, 16, 5, "mean", fixed)),
    "kivi": (Kivi(2, 32, 32), lambda fixed: naive_methods.Kivi(2, 32, 32)),
    "quest": (Quest(64, 16, 2), lambda fixed: naive_methods.Quest(64, 16, 2)),
    "a_shape": (AShape(20, 60), lambda fixed: naive_methods.AShape(20, 60)),
    "minference": (MInference(30, 40, 16, 4, 10, 16), lambda fixed: naive_methods.MInference(**LINES)),
}
LINES = {"vertical": 30, "slash": 40, "last": 16, "first": 4, "near": 10, "block": 16}


CASES = [(name, "multi_turn", "gold") for name in sorted(PAIRS)]
CASES += [(name, "multi_request", "gold") for name in ("snapkv", "kivi", "quest")]
CASES.append(("snapkv", "multi_turn", "generated"))


@pytest.mark.parametrize(("name", "mode", "history"), CASES)
def test_every_method_equals_the_naive_loop(decoder, loaded, name, mode, history):
    task = RetrKV(length=150, turns=2)
    dialogue = build_dialogue(task.generate(2, loaded.tokenizer), task, loaded.tokenizer)
    method, oracle = PAIRS[name]
    naive_method = oracle(frozenset(range(*dialogue.protected[0])))
    model = another("sequential")
    if mode == "multi_request":
        expected = sequential.multi_request(model, dialogue, naive_method, 4, whole=True)
    else:
        expected = sequential.multi_turn(model, dialogue, naive_method, 4, history, whole=True)
    assert engine.answers(decoder, dialogue, mode, 4, method, None, history) == expected
