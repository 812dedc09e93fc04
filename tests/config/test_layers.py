"""A configuration folder that adds to scbench's own, and one that stands alone."""

from pathlib import Path

import pytest

from scbench.cli import main
from scbench.config.compose import compose
from scbench.config.files import ROOT, describe, find, find_conf, layers, names
from scbench.errors import ScbenchError
from scbench.grid.plan import ensure

OWN = ROOT / "conf"
MODEL = "# My model\n_target_: scbench.models.model.ModelConfig\npath: ./weights\n"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model and a method of its own, and another default of StreamingLLM."""
    monkeypatch.delenv("SCBENCH_CONF", raising=False)
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "conf/model/mine.yaml", MODEL)
    theirs = (OWN / "method/streaming_llm.yaml").read_text()
    write(tmp_path / "conf/method/streaming_llm.yaml", theirs.replace("sinks: 128", "sinks: 7"))
    write(tmp_path / "conf/method/streaming_wide.yaml", theirs.replace("sinks: 128", "sinks: 9"))
    return tmp_path / "conf"


def test_its_files_are_added_and_win(added: Path) -> None:
    assert find_conf() == added and layers(added) == (added, OWN)
    assert set(names(added, "model")) == {*names(OWN, "model"), "mine"}
    assert describe(added, "model", "mine") == "My model" and describe(added, "model", "tiny_llama")
    cells = compose(["model=mine,tiny_llama", "method=glob(streaming*)"], added).cells
    sinks = {cell.method_name: cell.methods[0].options["sinks"] for cell in cells}
    assert sinks == {"streaming_llm": 7, "streaming_wide": 9}
    assert [cell.model.options["path"] for cell in cells[::2]] == ["./weights", "embedded:tiny-llama"]
    assert compose(["method=streaming_llm"], OWN).cells[0].methods[0].options["sinks"] == 128


def test_settings_and_experiments_are_found_in_either(added: Path) -> None:
    write(added / "experiment/mine.yaml", "# @package _global_\nsweep: {method: streaming_wide, model: tiny_llama}\n")
    assert [cell.method_name for cell in compose(["experiment=mine"], added).cells] == ["streaming_wide"]
    assert len(compose(["experiment=smoke"], added).cells) == len(compose(["experiment=smoke"], OWN).cells) == 4
    assert find(added, "findings.yaml") == OWN / "findings.yaml"


def test_an_error_names_the_file_that_was_read(added: Path) -> None:
    write(added / "method/broken.yaml", "a: [\n")
    with pytest.raises(ScbenchError, match=str(added / "method/broken.yaml")):
        compose(["method=broken"], added)


def test_a_plan_is_made_anew_when_either_has_changed(added: Path) -> None:
    overrides = ["method=streaming_llm", "model=tiny_llama"]
    first = ensure(overrides, added)
    (added / "method/streaming_llm.yaml").unlink()
    assert ensure(overrides, added).inputs != first.inputs
    assert next(iter(ensure(overrides, added).cells.values())).methods[0].options["sinks"] == 128


def test_with_defaults_of_its_own_it_stands_alone(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert layers(conf) == (conf,)
    assert names(conf, "method") == ("dense", "sparse", "streaming")
    monkeypatch.setenv("SCBENCH_CONF", str(conf))
    assert find_conf() == conf


def test_a_folder_of_another_program_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCBENCH_CONF", raising=False)
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "conf/nginx.conf", "")
    assert find_conf() == OWN
    monkeypatch.setenv("SCBENCH_CONF", str(tmp_path / "conf"))
    with pytest.raises(ScbenchError, match=r"SCBENCH_CONF=.*: has neither config\.yaml nor one of the folders model, "):
        find_conf()


def test_init_writes_what_is_adapted_and_keeps_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SCBENCH_CONF", raising=False)
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "slurm/config.yaml", "executor: slurm\n")
    assert main(["init"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "there already: slurm/config.yaml",
        "written: conf/experiment/mine.yaml",
    ]
    assert (tmp_path / "slurm/config.yaml").read_text() == "executor: slurm\n"
    assert len(compose(["experiment=mine"], find_conf()).cells) == 4
    assert main(["init"]) == 0
    assert "there already: conf/experiment/mine.yaml" in capsys.readouterr().out
