"""Budgets in bytes: the setting that the planner finds, beside what the engine then stores and touches."""

import pytest
import torch

from oracles import engine, tiny
from scbench.errors import ScbenchError
from scbench.methods.base import Base
from scbench.methods.bounds.oracle_topk import OracleTopK
from scbench.methods.bounds.random_tokens import RandomTokens
from scbench.methods.budget import Budget, Limit
from scbench.methods.compression.kivi import Kivi
from scbench.methods.compression.pyramidkv import PyramidKV
from scbench.methods.compression.snapkv import SnapKV
from scbench.methods.compression.streaming_llm import StreamingLLM
from scbench.methods.compression.turboquant import TurboQuant
from scbench.methods.fitting import KvShape, Trial, fitted
from scbench.methods.loading.quest import Quest

SHAPE = KvShape((0, 1, 2), 3, 2, 4, 8, torch.float32, torch.device("cpu"))
BASE = Base(200, ((0, 4),))
DENSE = 3 * 2 * 2 * 200 * 8 * 4
COMPRESSING = [StreamingLLM(), SnapKV(), SnapKV(group="max"), PyramidKV(), RandomTokens()]


def stored(method, base=BASE):
    return Trial(base, SHAPE).total(method, dict.fromkeys(SHAPE.layers, 1), touched=False)


def touched(method, base=BASE):
    return Trial(base, SHAPE).total(method, dict.fromkeys(SHAPE.layers, 1), touched=True)


def test_dense_costs_what_its_shape_says():
    assert SHAPE.dense(200) == DENSE == stored(Kivi(16))


@pytest.mark.parametrize("method", COMPRESSING, ids=lambda method: type(method).__name__)
@pytest.mark.parametrize("share", [0.1, 0.33, 0.5])
def test_the_largest_setting_that_fits(method, share):
    limit = Limit(int(share * DENSE), touched=False)
    found = fitted(method, limit, BASE, SHAPE)
    assert stored(found) <= limit.bytes
    if isinstance(found, StreamingLLM):
        more = method.with_tokens(found.sinks + found.window + 1)
    else:
        more = method.with_tokens(found.tokens + 1)
    assert stored(more) > limit.bytes


@pytest.mark.parametrize("method", [Quest(page=4), Quest(page=4, group="each"), OracleTopK(), SnapKV()])
def test_bytes_that_a_token_touches(method):
    limit = Limit(int(0.8 * DENSE), touched=True)
    found = fitted(method, limit, BASE, SHAPE)
    assert touched(found) <= limit.bytes < touched(method.with_tokens(BASE.tokens))
    assert touched(found) > 0.7 * DENSE


def test_kivi_chooses_its_bits():
    bits = [fitted(Kivi(), Limit(int(share * DENSE), touched=False), BASE, SHAPE).bits for share in (1, 0.4, 0.27)]
    assert bits == [16, 4, 2]


@pytest.mark.parametrize("method", [Kivi(group=8, residual=0), TurboQuant()], ids=["kivi", "turboquant"])
@pytest.mark.parametrize("share", [0.35, 0.45, 0.5])
def test_what_rounding_leaves_of_the_bytes_is_spent_on_exact_tokens(method, share):
    limit = Limit(int(share * DENSE), touched=False)
    found = fitted(method, limit, BASE, SHAPE)
    assert found.bits == 4 and found.residual > 0
    assert 0.95 * limit.bytes < stored(found) <= limit.bytes
    longer = 8 if isinstance(found, Kivi) else 1  # KIVI rounds whole groups
    assert stored(found.with_exact(found.residual + longer)) > limit.bytes


@pytest.mark.parametrize(
    ("method", "limit", "said"),
    [
        (Quest(), Limit(DENSE // 2, touched=False), "smallest setting of Quest stores more than 38400 bytes .50.0%"),
        (Kivi(), Limit(100, touched=False), "smallest setting of Kivi stores more than 100 bytes"),
    ],
)
def test_what_cannot_fit_is_refused(method, limit, said):
    with pytest.raises(ScbenchError, match=said):
        fitted(method, limit, BASE, SHAPE)


@pytest.mark.parametrize("method", [StreamingLLM(), SnapKV(window=4), PyramidKV(window=4), Kivi(group=8, residual=8)])
def test_the_engine_stores_no_more_than_the_budget(method):
    decoder = engine.decoder(tiny.model("llama", "eager"))
    dialogue = tiny.dialogue()
    job = engine.job(dialogue, "multi_request", 2, method, Budget("45%stored"))
    (turns,) = engine.run(decoder, [job], dialogue.stop).values()
    shape = decoder.adapter.shape
    dense = job.layout.base * shape.token_bytes * shape.layers
    question = [len(branch.suffix) * shape.token_bytes * shape.layers for branch in job.layout.branches]
    for turn, own in zip(turns, question, strict=True):
        assert 0.25 * dense < turn.kv_bytes.stored - own <= 0.45 * dense
        assert not turn.noop


@pytest.mark.parametrize("compress", ["once", "each", "isolated"])
def test_a_budget_in_bytes_holds_at_later_prompts_too(compress):
    decoder, dialogue = engine.decoder(tiny.model("llama", "eager")), tiny.dialogue(stretch=5)
    method = SnapKV(window=4)
    job = engine.job(dialogue, "multi_turn", 2, method, Budget("45%stored"), compress=compress)
    (turns,) = engine.run(decoder, [job], dialogue.stop).values()
    shares = [turn.kv_bytes.stored / turn.kv_bytes.dense for turn in turns]
    assert shares[0] <= 0.45
    assert (shares[-1] <= 0.5) == (compress != "once")  # once: what comes later stays whole
