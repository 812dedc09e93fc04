"""The bytes that a record says a token reads, where query heads choose for themselves and where they do so together."""

import pytest

from oracles import engine, tiny
from scbench.methods.loading.quest import Quest
from scbench.methods.loading.retrieval_attention import RetrievalAttention

LAYERS, TOKEN = 3, 2 * 2 * 12 * 4  # two KV heads of 12, each with two query heads


@pytest.mark.parametrize(("group", "choices"), [("mean", 1), ("each", 2)])
def test_what_each_query_head_chooses_is_counted(group, choices):
    dialogue = tiny.dialogue(turns=1)
    jobs = [
        engine.job(dialogue, "multi_request", 2, Quest(8, 4, 0, group), name="quest"),
        engine.job(dialogue, "multi_request", 2, RetrievalAttention(5, 3, 6, group), name="retrieval"),
    ]
    done = engine.run(engine.decoder(tiny.model("llama", "eager")), jobs, dialogue.stop)
    tokens = len(dialogue.context) + len(dialogue.opening[0])
    pages = -(-tokens // 4)
    assert done["quest"][0].kv_bytes.touched == LAYERS * TOKEN * (choices * 8 + pages)
    searched = (tokens - 9) * TOKEN // 2
    assert done["retrieval"][0].kv_bytes.touched == LAYERS * ((9 + choices * 5) * TOKEN + searched)
    assert done["retrieval"][0].kv_bytes.stored == LAYERS * tokens * TOKEN
    assert "nearest_scan" in done["retrieval"][0].kernels
