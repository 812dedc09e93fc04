"""What a turn's cache still has of the right answer, against the naive loop's lists."""

import pytest
import torch

from oracles import engine, naive_methods, sequential, tiny
from oracles.method_pairs import METHODS
from scbench.engine.kept_share import kept_share
from scbench.engine.view import View
from scbench.segments.kept import KeptSegment

LIMIT = 3
PLACES = (((((10, 14), (30, 33)), ((57, 60),))), (((0, 61),),), ())  # per turn: two texts, one, none


class Watching(naive_methods.Both):
    """Notes which positions every list has when an answer begins."""

    def __init__(self, method):
        super().__init__(method if method.plans else None, method)
        self.plans, self.held = method.plans, []

    def focus(self, cache):
        super().focus(cache)
        self.held.append([[{e.position for e in entries} for entries in heads] for _, heads in cache.full()])


def naive(held, texts):
    if not texts:
        return None
    best = []
    for places in texts:
        shares = []
        for start, stop in places:
            each = [sum(p in kept for p in range(start, stop)) / (stop - start) for heads in held for kept in heads]
            shares.append(sum(each) / len(each))
        best.append(max(shares))
    return sum(best) / len(best)


def kept(model, dialogue, method, mode, **options):
    decoder = engine.decoder(tiny.model(model, "eager"))
    job = engine.job(dialogue, mode, LIMIT, method, places=PLACES, **options)
    (turns,) = engine.run(decoder, [job], dialogue.stop).values()
    return [turn.gold_kept for turn in turns]


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("name", "model", "mode"),
    [
        ("streaming_llm", "llama", "multi_turn"),
        ("streaming_llm", "llama", "multi_request"),
        ("snapkv", "llama", "multi_turn"),
        ("snapkv", "gemma3", "multi_request"),
        ("random", "llama", "multi_turn"),
        slow("random", "llama", "multi_request"),
        slow("snapkv", "llama", "multi_request"),
        slow("snapkv", "gemma3", "multi_turn"),
        slow("snapkv_each", "llama", "multi_turn"),
        slow("pyramidkv_each", "llama", "multi_turn"),
    ],
)
def test_equals_the_naive_lists(name, model, mode):
    method, oracle = METHODS[name]
    watching, dialogue = Watching(oracle), tiny.dialogue()
    run = sequential.multi_turn if mode == "multi_turn" else sequential.multi_request
    run(tiny.model(model, "sequential"), dialogue, watching, LIMIT)
    wanted = [naive(held, texts) for held, texts in zip(watching.held, PLACES, strict=True)]
    found = kept(model, dialogue, method, mode)
    assert found[:2] == pytest.approx(wanted[:2]) and found[2] is wanted[2] is None
    assert 0 < found[1] < 1


@pytest.mark.parametrize("compress", ["each", slow("isolated")])
def test_what_a_later_point_drops_is_missed_from_then_on(compress):
    method, oracle = METHODS["snapkv"]
    watching, dialogue = Watching(oracle), tiny.dialogue()
    sequential.multi_turn(tiny.model("llama", "sequential"), dialogue, watching, LIMIT, compress=compress)
    wanted = [naive(held, texts) for held, texts in zip(watching.held, PLACES, strict=True)]
    assert kept("llama", dialogue, method, "multi_turn", compress=compress)[:2] == pytest.approx(wanted[:2])


@pytest.mark.parametrize("mode", ["multi_turn", "multi_request"])
@pytest.mark.parametrize("name", ["kivi", "turboquant", "quest", "retrieval_attention", "oracle_topk", "a_shape"])
def test_what_rounds_or_reads_in_part_holds_everything(name, mode):
    assert kept("llama", tiny.dialogue(), METHODS[name][0], mode) == [1.0, 1.0, None]


def test_a_choice_for_one_answer_counts_what_that_answer_may_read():
    found = kept("llama", tiny.dialogue(), METHODS["rocketkv"][0], "multi_request")
    assert 0 < found[1] < 1


def test_nothing_is_followed_unasked_or_where_no_layer_is_full():
    dialogue = tiny.dialogue()
    job = engine.job(dialogue, "multi_turn", LIMIT)
    (turns,) = engine.run(engine.decoder(tiny.model("llama", "eager")), [job], dialogue.stop).values()
    assert [turn.gold_kept for turn in turns] == [None] * 3
    assert kept("mamba", dialogue, None, "multi_turn") == [None] * 3


def test_the_best_place_counts_over_all_layers_and_not_in_each():
    def layer(*held):
        position_GL = torch.tensor([held, held])
        k_GLD = torch.zeros(2, len(held), 4)
        return (KeptSegment(0, 8, position_GL, k_GLD, k_GLD),)

    view = View((layer(0, 1), layer(4, 5, 6)), 8)
    assert kept_share(view, (((0, 2), (4, 8)),), (None, None)) == pytest.approx(0.5)
    assert kept_share(view, (((0, 2), (4, 8)),), (None, 16)) == pytest.approx(1.0)
