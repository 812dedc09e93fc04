"""The search for MInference's patterns against a naive one, and on heads whose pattern is known."""

import pytest
import torch

from oracles import engine, tiny
from oracles.naive_minference_table import TableMInference
from scbench.engine import pattern_search
from scbench.engine.pattern_search import CANDIDATES, search, search_layer
from scbench.errors import ScbenchError
from scbench.methods.base import Prompt
from scbench.methods.generation.minference import MInference

LOOKING = {"last": 6, "first": 2, "near": 3, "block": 4}


def shares(q, k, scale, reads, counted):
    """(what a head captures of its attention in some rows, what it reads of its entries), one by one."""
    tokens = len(q)
    captured, entries = 0.0, 0
    for i in range(tokens):
        weights = torch.softmax(k[: i + 1] @ q[i] * scale, dim=0).tolist()
        read = [j for j in range(i + 1) if reads(i, j)]
        captured += sum(weights[j] for j in read) * (i in counted)
        entries += len(read)
    return captured / len(counted), entries / (tokens * (tokens + 1) / 2)


def naive_best(q, k, scale, budget, counted):
    naive, found = TableMInference(**LOOKING), []
    for kind, proportions in CANDIDATES:
        fitting = None
        for tokens in range(1, len(q) + 1):
            least = [2, 3] if kind == "vertical_and_slash" else [1, 1]
            sizes = [max(low, size * tokens // sum(proportions)) for low, size in zip(least, proportions, strict=False)]
            recall, density = shares(q, k, scale, getattr(naive, kind)(q, k, scale, *sizes), counted)
            if density > budget:
                break
            fitting = (recall, density, kind, sizes)
        if fitting:
            found.append(fitting)
    return max(found, key=lambda one: one[0])


@pytest.mark.parametrize(("seed", "budget", "rows"), [(0, 0.5, 1024), (1, 0.6, 1024), (2, 0.7, 12)])
def test_every_head_gets_what_captures_most_within_the_budget(monkeypatch, seed, budget, rows):
    monkeypatch.setattr(pattern_search, "SCORES", 300)  # several chunks of rows
    monkeypatch.setattr(pattern_search, "ROWS", rows)
    counted = range(27) if rows > 27 else [i for i in range(27) if i // 4 in (1, 3, 5)]  # of 7 blocks
    generator = torch.Generator().manual_seed(seed)
    q, k = (torch.randn(heads, 27, 8, generator=generator) for heads in (4, 2))
    found = search_layer(MInference(**LOOKING).estimate(Prompt(q, k, 0, 27, 0.7)), budget)
    for head, best in enumerate(found):
        recall, density, kind, sizes = naive_best(q[head], k[head // 2], 0.7, budget, counted)
        assert (best.pattern.kind, list(best.pattern.sizes)) == (kind, sizes)
        assert (best.recall, best.density) == pytest.approx((recall, density), abs=1e-5)
        assert best.density <= budget


def test_heads_with_a_pattern_get_it():
    """One looks at three columns, one at a block that its rows' block chooses, one at sinks and near itself."""
    tokens, block = 256, 16
    blocks, place = tokens // block, torch.arange(tokens)
    q, k = torch.zeros(3, tokens, 64), torch.zeros(3, tokens, 64)
    columns = [60, 133, 200]
    q[0, :, 0], k[0, columns, 0] = 9.0, 1.0
    chosen = torch.tensor([(number * 7 + 3) % (number + 1) for number in range(blocks)])
    k[1, place, place // block], q[1, place, chosen[place // block]] = 1.0, 9.0
    wave = torch.stack([(0.02 * place).cos(), (0.02 * place).sin()], 1)
    q[2, :, :2], k[2, 4:, :2] = 22 * wave, wave[4:]  # falls off like a bell; half of the attention is on four sinks
    q[2, :, 2], k[2, :4, 2] = 23.5, 1.0
    method = MInference(last=32, first=4, near=16, block=block)
    found = search_layer(method.estimate(Prompt(q, k, 0, tokens, 1.0)), 0.3)
    assert [best.pattern.kind for best in found] == ["vertical_and_slash", "block_sparse", "stream_llm"]
    assert found[0].pattern.sizes[0] >= 3
    assert min(best.recall for best in found) > 0.5


def test_a_model_is_searched_layer_by_layer(caplog):
    reported = []
    decoder = engine.decoder(tiny.model("gemma3", "eager"))
    layers = search(decoder, tiny.dialogue().context, MInference(**LOOKING), 0.5, lambda *one: reported.append(one))
    assert [layer and len(layer) for layer in layers] == [None, 4, None]  # a window where nothing acts
    assert reported == [(1, 3), (2, 3), (3, 3)]
    assert not caplog.text
    (few,) = filter(None, search(decoder, tiny.dialogue().context, MInference(near=40, block=4), 0.4, lambda *_: None))
    assert {head.rivals for head in few} == {2}
    assert "only 2 of 6 candidates fit the budget" in caplog.text


@pytest.mark.parametrize(
    ("model", "budget", "words"),
    [
        ("gemma2", 0.5, "no sparse kernel has soft-capped scores"),
        ("bamba", 0.5, "needs a model without recurrent states"),
        ("llama", 0.001, "no pattern reads as little as 0.001 of a prompt of 61 tokens"),
    ],
)
def test_what_cannot_be_searched_is_refused(model, budget, words):
    decoder = engine.decoder(tiny.model(model, "eager"))
    with pytest.raises(ScbenchError, match=words):
        search(decoder, tiny.dialogue().context, MInference(**LOOKING), budget, lambda *_: None)
