"""The estimate of time and memory: its formula, and where it holds."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scbench.config.cell import Cell, Choice, RunConfig
from scbench.config.compose import compose
from scbench.errors import ScbenchError
from scbench.grid.demand import GPU_RUNTIME, RUNTIME, START, Demand, Need, need, spread
from scbench.grid.devices import GPU, GPUS, cpu, device_here, named
from scbench.grid.estimate import COPIES, HIDDEN, QUESTION, Shape, Work, estimate, fullest, shape_of
from scbench.grid.forecast import demand
from scbench.grid.site import Site, site_of
from scbench.models.files import EMBEDDED, PUBLISHED, local_config
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


@pytest.mark.parametrize(
    "other",
    [
        {"num_local_experts": 8},
        {"n_routed_experts": 64},
        {"mamba_d_state": 16, "attn_layer_period": 8},
        {"linear_num_key_heads": 16},
    ],
)
def test_experts_and_states_have_no_shape(other: dict[str, int]) -> None:
    with pytest.raises(KeyError):
        shape_of({**LLAMA_8B, **other}, 2)
    assert shape_of({**LLAMA_8B, "num_experts": 0}, 2) == shape_of(LLAMA_8B, 2)


def test_what_an_engine_cannot_share_is_counted() -> None:
    shape, device = shape_of(LLAMA_8B, 2), GPUS["h100"]
    work = Work(cells=6, sessions=10, context=100_000, turns=5, new_tokens=100)
    alone = dataclasses.replace(work, prefills=6, serial=True)
    products = 2 * shape.parameters * 100_000 + 2 * 32 * 4096 * 100_000**2
    reads = 5 * 100 * (shape.weights + 100_000 * shape.kv_bytes) - 100 * (shape.weights + 5 * 100_000 * shape.kv_bytes)
    more = 10 * (5 * products / device.flops + 6 * reads / device.bandwidth)
    assert estimate(shape, alone, device).seconds - estimate(shape, work, device).seconds == pytest.approx(more)


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
    assert found.memory == 2000 + (1 + COPIES) * 100 * 40 + HIDDEN * 2 * 15 * 100


@given(st.integers(1, 100_000), st.integers(1, 100_000))
def test_a_longer_context_costs_more(one: int, more: int) -> None:
    short = estimate(SMOLLM2, Work(1, 1, one, 1, 8), GPU)
    long = estimate(SMOLLM2, Work(1, 1, one + more, 1, 8), GPU)
    assert short.seconds < long.seconds
    assert short.memory < long.memory


def sizes(cells: Sequence[Cell]) -> Demand | None:
    return demand(cells, local_config(cells[0].model.build()))


def with_shape(conf: Path) -> None:
    (conf.parent / "weights/tiny/config.json").write_text(str(LLAMA_8B).replace("'", '"').replace("False", "false"))


def test_a_family_on_a_known_model_has_sizes(conf: Path) -> None:
    with_shape(conf)
    cells = compose(["mode=glob(*)"], conf).cells
    found = sizes(cells)
    work = Work(cells=2, sessions=2, context=1024, turns=5, new_tokens=8)
    assert found == Demand(shape_of(LLAMA_8B, 2), work, single=True, device="cpu")
    assert found.estimate(cpu(3)) == estimate(shape_of(LLAMA_8B, 4), work, cpu(3)), "single precision on a CPU"


@pytest.mark.parametrize(
    ("shares", "serial", "overrides", "expected"),
    [
        (True, False, [], (1, False)),
        (False, True, [], (2, True)),
        (True, False, ["history=generated"], (1, True)),
        (True, False, ["query=each"], (2 * 5, False)),
    ],
)
def test_what_cells_cannot_share_is_foretold(
    conf: Path,
    monkeypatch: pytest.MonkeyPatch,
    shares: bool,
    serial: bool,
    overrides: list[str],
    expected: tuple[int, bool],
) -> None:
    with_shape(conf)
    first, *others = compose(["method=streaming,dense"], conf).cells
    changed = dict(one.split("=") for one in overrides)
    cells = [dataclasses.replace(cell, **changed) for cell in (first, *others)]
    assert len(cells) == 2
    monkeypatch.setattr(first.engine.type, "shares", shares)
    monkeypatch.setattr(first.engine.type, "serial", serial)
    found = sizes(cells)
    assert found is not None and (found.work.prefills, found.work.serial) == expected
    monkeypatch.setattr(first.engine.type, "local", False)
    assert sizes(cells) is None and spread(first) == 0  # a server computes: no GPU of the job's own


@pytest.mark.parametrize("overrides", [[], ["model.path=./nowhere"], ["model.path=owner/name"]])
def test_nothing_is_foretold_of_a_model_that_is_not_here(conf: Path, overrides: list[str]) -> None:
    assert sizes(compose(overrides, conf).cells) is None


@pytest.mark.parametrize("override", ["task.limit=null", "task.data=data.jsonl"])
def test_nothing_is_foretold_of_sessions_of_unknown_size(conf: Path, override: str) -> None:
    with_shape(conf)
    assert sizes(compose([], conf).cells) is not None
    assert sizes(compose([override], conf).cells) is None


DATA = {"length": 8192, "limit": 100, "turns": 5, "max_new_tokens": 5, "data": "hub@0"}


@pytest.mark.parametrize(
    ("model", "limit", "max_turns", "expected"),
    [
        ({"window": None}, 100, None, Work(1, 100, 120_000, 6, 5)),  # Math.Find on the hub: 100 contexts of six turns
        ({"window": 65_536}, 20, 5, Work(1, 20, 65_536, 5, 5)),
        ({}, None, 9, Work(1, 100, 120_000, 6, 5)),
    ],
)
def test_published_data_has_the_sizes_of_its_table(
    model: dict[str, object], limit: int | None, max_turns: int | None, expected: Work
) -> None:
    cell = Cell(
        model=Choice("llama", "scbench.models.model.ModelConfig", model),
        methods=(),
        task=Choice("math_find", "scbench.tasks.math_find.MathFind", {**DATA, "limit": limit}),
        mode=Choice("multi_turn", "scbench.modes.Mode", {"kind": "multi_turn"}),
        engine=Choice("own", "scbench.engine.config.EngineConfig", {}),
        budget=None,
        history="gold",
        query="aware",
        max_turns=max_turns,
    )
    found = demand([cell], {**LLAMA_8B, "max_position_embeddings": 131_072})
    assert found is not None and found.work == expected


def test_a_family_in_one_batch_holds_all_caches(conf: Path) -> None:
    with_shape(conf)
    together = Choice("own", "dummy_classes.Engine", {"device": "cpu", "batch": "family"})
    found = sizes([dataclasses.replace(cell, engine=together) for cell in compose(["mode=glob(*)"], conf).cells])
    assert found is not None and found.work.copies == 2


WORK = Work(cells=11, sessions=100, context=131_072, turns=5, new_tokens=150)
LLAMA = Demand(shape_of(LLAMA_8B, 2), WORK, single=True, device="auto")


def test_a_job_on_a_gpu_asks_for_what_the_formula_says() -> None:
    """By hand: 8.03e9 parameters; 128 KiB of cache per token; an H100 at half of 989 TFLOP/s and 3.35 TB/s."""
    p, t, h = LLAMA.shape.parameters, 131_072, GPUS["h100"]
    prefill = (2 * p * t + 2 * 32 * 4096 * t**2) / 494.5e12
    extension = 2 * p * 5 * (150 + 64) / 494.5e12
    decode = 150 * (2 * p + 5 * t * 2**17) / 1.675e12
    seconds = 100 * (prefill + 11 * (extension + decode))
    found = need(LLAMA, h, 1, RunConfig())
    assert found == Need(
        1, -(-(GPU_RUNTIME + 2 * p) // 2**20), 5 + -int(-3 * seconds // 60), pytest.approx(seconds / 3600)
    )
    quarter = need(LLAMA, h, 4, RunConfig())
    assert (quarter.minutes, quarter.mem_mb) == (5 + -int(-3 * seconds / 4 // 60), found.mem_mb)


def test_a_job_on_a_cpu_asks_for_no_gpu_and_all_memory() -> None:
    found = need(LLAMA, cpu(8), 1, RunConfig())
    single = estimate(shape_of(LLAMA_8B, 4), WORK, cpu(8))
    assert (found.gpus, found.mem_mb) == (0, -(-(RUNTIME + single.memory) // 2**20))


def test_what_the_configuration_says_is_taken() -> None:
    assert need(LLAMA, GPU, 1, RunConfig(gpus=4, mem_mb=7, runtime=9)) == Need(
        4, 7, 9, need(LLAMA, GPU, 1, RunConfig()).hours
    )


def test_a_later_try_asks_for_more_and_what_follows_the_last_for_little() -> None:
    first = Need(1, 100, 10, 0.1)
    asked = [(one.mem_mb, one.minutes, one.gpus) for one in (first.at(attempt, 3) for attempt in (1, 2, 3, 4))]
    assert asked == [(100, 10, 1), (200, 20, 1), (300, 30, 1), (100, 10, 1)]
    assert Need(0, 100, 1, None).at(2, 1).minutes == START


def test_a_model_that_is_too_large_for_a_gpu_is_noticed() -> None:
    large = dataclasses.replace(LLAMA, shape=shape_of(PUBLISHED["meta-llama/Llama-3.1-70B-Instruct"], 2))
    assert LLAMA.fitting(GPUS["h100"]) == 1
    assert large.fitting(GPUS["h100"]) == 4  # 131 GiB of weights, 80 of two caches, 8 of activations; 72 a GPU
    assert dataclasses.replace(large, parallel=4).gpus(GPUS["h100"]) == 4
    longer = dataclasses.replace(large, work=dataclasses.replace(WORK, context=2**21))
    assert longer.fitting(GPUS["h100"]) is None  # 128 GiB of activations alone


def test_the_fullest_device_has_the_longest_stretch_or_the_embeddings() -> None:
    shape = Shape(1000, layers=5, heads=3, kv_heads=1, head_dim=5, value_bytes=2, embedding=400)
    work = Work(cells=1, sessions=1, context=10, turns=1, new_tokens=1)
    layer, activations = (2 * 600 + 2 * 10 * 2 * 5 * 5 * 2) // 5, 4 * 2 * 15 * 10
    assert fullest(shape, work, 1) == 5 * layer + 800 + activations == estimate(shape, work, GPU).memory
    assert fullest(shape, work, 2) == 2 * layer + 800 + activations
    assert fullest(dataclasses.replace(shape, parameters=600, embedding=0), work, 2) == 3 * layer + activations


def test_a_spread_model_of_unknown_size_still_asks_for_its_gpus(conf: Path) -> None:
    (cell, *_) = compose([], conf).cells
    model = dataclasses.replace(cell.model, options={**cell.model.options, "parallel": 4})
    four = dataclasses.replace(cell, model=model)
    on_gpu = dataclasses.replace(four, engine=Choice("own", "dummy_classes.Engine", {"device": "auto"}))
    assert [spread(one) for one in (four, on_gpu)] == [0, 4]
    assert need(None, GPU, 1, RunConfig(), spread(on_gpu)).gpus == 4
    assert need(None, cpu(2), 1, RunConfig(), spread(on_gpu)).gpus == 0


def test_unknown_sizes_are_a_long_job() -> None:
    found = need(None, GPU, 1, RunConfig())
    assert (found.gpus, found.mem_mb, found.minutes) == (1, 16_000, 240)


def test_the_engine_and_the_site_say_which_device() -> None:
    assert dataclasses.replace(LLAMA, device="cuda").on(cpu(4)) is GPU
    assert dataclasses.replace(LLAMA, device="cpu").on(GPUS["h200"]).name == "cpu"
    assert LLAMA.on(GPUS["h200"]) is GPUS["h200"]
    assert (named("l40s", 2), named("cpu", 2), named("gpu", 2)) == (GPUS["l40s"], cpu(2), GPU)
    with pytest.raises(ScbenchError, match="device=h10 is not known; did you mean 'h100'"):
        named("h10", 2)


def test_a_site_is_what_its_profile_says() -> None:
    given = {"device": "'a100'", "cpus_per_task": 8, "short": 15, "slurm_extra": "'--qos=high'", "tmpdir": "/tmp"}
    assert site_of(given, 2) == Site(GPUS["a100"], 8, 15, "--qos=high")
    assert site_of({}, 2) == Site(device_here(2), 2)
    assert site_of({"device": "cpu", "cpus_per_task": 8}, 2).device == cpu(8)
    with pytest.raises(ScbenchError, match="short=soon"):
        site_of({"short": "soon"}, 2)


@pytest.mark.parametrize(
    ("path", "billions"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", 8.03),
        ("meta-llama/Llama-3.1-70B-Instruct", 70.55),
        ("gradientai/Llama-3-8B-Instruct-262k", 8.03),
        ("Qwen/Qwen2.5-32B-Instruct", 32.76),
        ("Qwen/Qwen2.5-72B-Instruct", 72.71),
        ("zai-org/glm-4-9b-chat-1m-hf", 9.48),
    ],
)
def test_models_that_are_not_fetched_have_the_parameters_of_their_cards(path: str, billions: float) -> None:
    assert shape_of(PUBLISHED[path], 2).parameters == pytest.approx(billions * 1e9, rel=0.002)
    assert local_config(ModelConfig(path)) is not None


def test_the_embedded_model_is_known_before_it_is_unpacked() -> None:
    assert local_config(ModelConfig("embedded:smollm2_135m")) == EMBEDDED["smollm2_135m"]
    assert local_config(ModelConfig("embedded:nothing")) is None


def test_a_site_grants_no_more_than_it_has() -> None:
    site = site_of({"device": "cpu", "max_minutes": "60", "max_mb": 8000}, 2)
    assert site.grants(Need(0, 5000, 25, None).at(3, 3)) == Need(0, 8000, 60, None)
    assert site_of({"device": "cpu"}, 2).grants(Need(0, 5000, 25, None)) == Need(0, 5000, 25, None)
