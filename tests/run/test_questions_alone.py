"""Sessions without context, on a tiny model: in both modes, with and without a chat template or begin-of-text."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from oracles import tiny
from scbench.grid.plan import plan
from scbench.results.store import CellStore
from scbench.run.family import run_family
from scbench.run.local import write_sessions
from scbench.run.progress import NullProgress
from toy_tokenizers import byte_level

CONF = Path(__file__).parents[2] / "conf"
TEMPLATE = (
    "{% for message in messages %}<s>{{ message['role'] }}\n{{ message['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant\n{% endif %}"
)
SWEEP = [
    *("task=retr_kv,math_find", "task.length=1000", "task.limit=1", "task.turns=2", "task.max_new_tokens=4"),
    *("method=dense,streaming_llm", "mode=multi_turn,multi_request", "query=aware,free", "budget=0.25,16"),
]


@pytest.mark.parametrize(
    ("template", "adds_bos"),
    [(TEMPLATE, False), (None, True), (None, False)],
    ids=["template", "begin-of-text", "nothing before the question"],
)
def test_questions_alone_are_answered(tmp_path, template, adds_bos):
    tokenizer = byte_level(["<s>", "</s>"], bos="<s>", eos="</s>", adds_bos=adds_bos, template=template)
    config = tiny.CONFIGS["llama"]()
    config.vocab_size, config.max_position_embeddings = len(tokenizer), 2048
    config.eos_token_id = [tokenizer.eos_token_id]
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "tiny")
    tokenizer.save_pretrained(tmp_path / "tiny")
    manifest = plan(
        [f"model.path={tmp_path / 'tiny'}", f"results={tmp_path / 'results'}", *SWEEP, "task.context=none"], CONF
    )
    manifest.write()
    for source in manifest.sources:
        write_sessions(manifest, source)
    for family in manifest.families:
        run_family(manifest.path, family.id, NullProgress())
    for name in manifest.cells:
        records = CellStore(manifest.root, name).read()
        assert [record.turn for record in records] == [0, 1]
        assert {record.outcome.value for record in records} <= {"ok", "noop"}, records[0].detail
