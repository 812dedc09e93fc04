"""Which devices a model gets, what is said where there are too few, and what a record says of them."""

from pathlib import Path

import pytest
import torch

from scbench.config.compose import compose
from scbench.config.files import find_conf
from scbench.doctor import findings
from scbench.errors import ScbenchError
from scbench.run import loading
from scbench.run.recording import _devices


class AskedForError(Exception):
    pass


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "A" if device.index < 2 else "B")

    class Properties:
        name, total_memory = "A", 80 * 2**30

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: Properties)


def asked_for(monkeypatch: pytest.MonkeyPatch, *overrides: str) -> list[torch.device]:
    """The devices that a cell's model would be loaded to."""

    def load(_: object, *devices: torch.device) -> None:
        raise AskedForError(*devices)

    monkeypatch.setattr(loading, "load", load)
    (cell,) = compose(
        ["experiment=smoke", "method=dense", "mode=multi_turn", "task=retr_kv", *overrides], find_conf()
    ).cells
    with pytest.raises(AskedForError) as caught:
        loading.load_decoder(cell)
    return list(caught.value.args)


def test_a_model_gets_the_first_gpus(two_gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked_for(monkeypatch) == [torch.device("cuda:0")]
    assert asked_for(monkeypatch, "model.parallel=2") == [torch.device("cuda:0"), torch.device("cuda:1")]
    assert asked_for(monkeypatch, "engine.device=cpu") == [torch.device("cpu")]


def test_too_few_gpus_are_one_line(two_gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ScbenchError, match=r"^model\.parallel=3: the GPUs that torch sees here are 2 \(CUDA_VISIBLE_"):
        asked_for(monkeypatch, "model.parallel=3")
    with pytest.raises(ScbenchError, match=r"^model\.parallel=2: it runs on a CPU here, and a model is spread over"):
        asked_for(monkeypatch, "model.parallel=2", "engine.device=cpu")


def test_a_machine_without_gpus_spreads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ScbenchError, match=r"^model\.parallel=2: it runs on a CPU here"):
        asked_for(monkeypatch, "model.parallel=2")


def test_less_than_one_device_is_refused() -> None:
    with pytest.raises(ScbenchError, match=r"model\.parallel=0: expected at least 1 device"):
        compose(["experiment=smoke", "model.parallel=0"], find_conf())


def test_a_record_names_all_devices(two_gpus: None) -> None:
    assert _devices([torch.device("cuda", 0)]) == "A"
    assert _devices([torch.device("cuda", number) for number in (0, 1, 2)]) == "A x2 + B"
    assert _devices([torch.device("cpu")]) == f"cpu x{torch.get_num_threads()}"


def test_the_doctor_says_how_several_gpus_are_used(
    two_gpus: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    said = list(findings())
    assert [line for line in said if "cuda:" in line] == ["ok  cuda:0: A, 80 GiB", "ok  cuda:1: A, 80 GiB"]
    assert any("2 GPUs: `scbench sweep` has a family on each; model.parallel=2 spreads" in line for line in said)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    assert any("torch sees 2 GPUs of 3 that are there by name (0, 1, 2)" in line for line in findings())
