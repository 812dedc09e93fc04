"""The estimate of time and memory: its formula, and where it holds."""

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scbench.config.cell import Choice
from scbench.config.compose import compose
from scbench.grid.estimate import COPIES, GPU, QUESTION, RUNTIME, Shape, Work, cpu, estimate, shape_of
from scbench.grid.forecast import device_of, forecast, resources
from scbench.models.files import EMBEDDED, local_config
from scbench.models.model import ModelConfig

SMOLLM2 = shape_of(EMBEDDED["smollm2_135m"], 4)
LLAMA_8B = {
    "num_hidden_layers": 32,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "tie_word_embeddings": False,
}


def test_shapes_have_the_published_numbers_of_parameters() -> None:
    assert SMOLLM2.parameters == pytest.approx(134.5e6, rel=0.001)
    assert shape_of(LLAMA_8B, 2).parameters == pytest.approx(8.03e9, rel=0.001)
    assert shape_of(LLAMA_8B, 2).kv_bytes == 128 * 2**10  # 128 KiB a token in half precision
    assert SMOLLM2.kv_bytes == 2 * 30 * 3 * 64 * 4


def test_a_text_model_inside_another_is_found() -> None:
    assert shape_of({"text_config": LLAMA_8B, "num_hidden_layers": 1}, 2) == shape_of(LLAMA_8B, 2)


def test_a_model_that_is_no_plain_transformer_has_no_shape() -> None:
    with pytest.raises(KeyError):
        shape_of({"hidden_size": 4096, "num_hidden_layers": 64, "state_size": 128}, 2)


def test_what_was_measured_is_met() -> None:
    """SmolLM2 on two cores: 400 tokens/s of prefill, 12 steps/s of decoding."""
    no_attention = dataclasses.replace(SMOLLM2, heads=0)
    prefill = estimate(no_attention, Work(0, 1, 4000, 1, 0), cpu(2))
    assert prefill.seconds == pytest.approx(10, rel=0.01)
    decode = (
        estimate(SMOLLM2, Work(1, 1, 0, 1, 120), cpu(2)).seconds - 2 * SMOLLM2.parameters * (120 + QUESTION) / 1.08e11
    )
    assert decode == pytest.approx(10, rel=0.01)


def test_one_case_by_hand() -> None:
    shape = Shape(parameters=1000, layers=2, heads=3, kv_heads=1, head_dim=5, value_bytes=2)
    work = Work(cells=4, sessions=3, context=100, turns=2, new_tokens=10)
    device = dataclasses.replace(cpu(1), flops=1e3, bandwidth=1e3)
    prefill = (2 * 1000 * 100 + 2 * 2 * 3 * 5 * 100**2) / 1e3
    extension = 2 * 1000 * 2 * (10 + QUESTION) / 1e3
    decode = 10 * (2 * 1000 + 2 * 100 * 2 * 2 * 1 * 5 * 2) / 1e3
    found = estimate(shape, work, device)
    assert found.seconds == pytest.approx(3 * (prefill + 4 * (extension + decode)))
    assert found.memory == RUNTIME + 2000 + (1 + COPIES) * 100 * 40


@given(st.integers(1, 100_000), st.integers(1, 100_000))
def test_a_longer_context_costs_more(one: int, more: int) -> None:
    short = estimate(SMOLLM2, Work(1, 1, one, 1, 8), GPU)
    long = estimate(SMOLLM2, Work(1, 1, one + more, 1, 8), GPU)
    assert short.seconds < long.seconds
    assert short.memory < long.memory


def with_shape(conf: Path) -> None:
    (conf.parent / "weights/tiny/config.json").write_text(str(LLAMA_8B).replace("'", '"').replace("False", "false"))


def test_a_family_on_a_known_model_has_resources(conf: Path) -> None:
    with_shape(conf)
    cells = compose(["mode=glob(*)"], conf).cells
    shape = shape_of(LLAMA_8B, 4)
    expected = estimate(
        shape, Work(cells=2, sessions=2, context=1024, turns=5, new_tokens=8), device_of(cells[0].engine)
    )
    assert forecast(cells) == expected
    assert resources(cells) == {
        "mem_mb": -(-expected.memory // 2**20),
        "runtime": 5 + int(-(-3 * expected.seconds // 60)),
    }


@pytest.mark.parametrize("overrides", [[], ["model.path=./nowhere"], ["model.path=owner/name"]])
def test_nothing_is_foretold_of_a_model_that_is_not_here(conf: Path, overrides: list[str]) -> None:
    cells = compose(overrides, conf).cells
    assert forecast(cells) is None
    assert resources(cells) == {}


@pytest.mark.parametrize("override", ["task.limit=null", "task.data=data.jsonl"])
def test_nothing_is_foretold_of_sessions_of_unknown_size(conf: Path, override: str) -> None:
    with_shape(conf)
    assert forecast(compose([], conf).cells) is not None
    assert forecast(compose([override], conf).cells) is None


def test_the_engine_says_which_device() -> None:
    assert device_of(Choice("own", "dummy_classes.Engine", {"device": "cuda"})) is GPU
    assert device_of(Choice("own", "dummy_classes.Engine", {"device": "cpu"})).name == "cpu"


def test_the_embedded_model_is_known_before_it_is_unpacked() -> None:
    assert local_config(ModelConfig("embedded:smollm2_135m")) == EMBEDDED["smollm2_135m"]
    assert local_config(ModelConfig("embedded:nothing")) is None
