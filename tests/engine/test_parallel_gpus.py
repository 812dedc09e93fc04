"""The same as `test_parallel` on two real GPUs, for a machine that has them."""

import pytest
import torch

from oracles import engine, tiny
from oracles.method_pairs import METHODS
from scbench.models.placement import device_map, join

pytestmark = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs that torch sees")


def answers(name, method, devices):
    model = tiny.model(name, "eager")
    placed = device_map(model, devices)
    for part, device in placed.items():
        model.get_submodule(part).to(device)
    join(model, placed)
    return engine.answers(engine.decoder(model), tiny.dialogue(), "multi_turn", 8, method)


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt_oss", "jamba"])
def test_a_spread_model_answers_as_on_one_gpu(name):
    one, two = [torch.device("cuda", 0)], [torch.device("cuda", number) for number in (0, 1)]
    assert answers(name, None, one) == answers(name, None, two)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_answers_as_on_one_gpu(name):
    one, two = [torch.device("cuda", 0)], [torch.device("cuda", number) for number in (0, 1)]
    assert answers("llama", METHODS[name][0], one) == answers("llama", METHODS[name][0], two)
