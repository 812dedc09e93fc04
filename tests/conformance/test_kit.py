"""The conformance kit certifies the built-in methods and a user's, and catches what breaks a rule."""

import re
from pathlib import Path

import broken
import pytest

from oracles import sample_methods
from oracles.method_pairs import LOOKING, TABLE
from scbench.cli import main
from scbench.config.files import ROOT, names
from scbench.conformance.checks import Kit
from scbench.methods.bounds.oracle_topk import OracleTopK
from scbench.methods.compression.kivi import Kivi
from scbench.methods.compression.pyramidkv import PyramidKV
from scbench.methods.compression.snapkv import SnapKV
from scbench.methods.compression.turboquant import TurboQuant
from scbench.methods.generation.dense import Dense
from scbench.methods.generation.minference import MInference
from scbench.methods.loading.quest import Quest
from scbench.methods.loading.retrieval_attention import RetrievalAttention

NAMES = sorted(set(names(ROOT / "conf", "method")) - {"dense", "dense_repeat"})  # those do nothing to a cache
METHODS = [
    SnapKV(window=5, group="each"),
    PyramidKV(window=5, group="each"),
    # with residual 0 a scale of the kit's dialogue lies on an edge of float16: inputs 1e-5 apart flip it
    Kivi(4, 16, 3),
    Quest(page=5, dense_layers=1, group="each"),
    OracleTopK(group="each"),
    MInference(table=TABLE, **LOOKING),
    sample_methods.Pieces(),
    sample_methods.Blending(repaired=5),
    sample_methods.Surprising(),
    TurboQuant(3, "prod", 5),
    RetrievalAttention(group="each", index="ivf", scan=0),
    RetrievalAttention(index="hnsw", scan=0),
]


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_built_in_methods_pass_with_other_options(method):
    assert [(r.name, r.failure) for r in Kit(method).run() if r.failure] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_command_on_a_methods_page_certifies_it(name, capsys):
    assert main(["check-method", name]) == 0, capsys.readouterr().out
    assert re.search(r"checks [1-9]\d*, failed 0", capsys.readouterr().out)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "check"),
    [
        (broken.KeepsTheDenseCache(), "reads nothing of the dense cache"),
        (broken.LosesWhenLossless(), "lossless"),
        (broken.KeepsTooMuch(), "keeps what its budget says"),
        (broken.Remembers(), "the same twice"),
        (Dense(), "acts"),
        (sample_methods.Verbose(), "keeps what its budget says"),
        (sample_methods.Sloppy(), "lossless"),
    ],
)
def test_a_broken_rule_is_caught(method, check):
    assert any(check in result.name for result in Kit(method).run() if result.failure)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "checks"),
    [
        (broken.CountsItsRepeats(), {"compress=each", "compress=isolated"}),
        (broken.CountsQuestions(), {"query=aware"}),
    ],
)
def test_what_goes_wrong_only_when_it_acts_in_another_way_is_caught_there(method, checks):
    failed = {
        result.name.removeprefix("equals the sequential loop: ") for result in Kit(method).run() if result.failure
    }
    assert failed == checks


@pytest.mark.slow  # most of a minute
def test_the_example_of_the_docs_is_certified(tmp_path, capsys):
    text = (Path(__file__).parents[2] / "docs/add-a-method.md").read_text()
    file = tmp_path / "every_other.py"
    file.write_text(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1])
    assert len(file.read_text().splitlines()) < 40
    assert main(["check-method", str(file), "method.step=3"]) == 0
    assert re.search(r"checks \d+, failed 0", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.py"], "nowhere.py: no such file"),
        (["snapkw"], "did you mean 'snapkv'"),
        (["snapkv", "method.tokens=8,9"], "one method with one value"),
    ],
)
def test_mistakes_are_answered_in_a_line(arguments, words, capsys):
    assert main(["check-method", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_a_method_whose_own_model_is_missing_is_answered_in_a_line(tmp_path, capsys):
    options = ["method.scorer=classifier", f"method.path={tmp_path / 'gone'}"]
    assert main(["check-method", "llmlingua2", *options]) == 2
    assert f"method.path={tmp_path / 'gone'}: no such folder" in capsys.readouterr().err


def test_a_file_without_a_method_is_refused(tmp_path, capsys):
    file = tmp_path / "empty.py"
    file.write_text("x = 1\n")
    assert main(["check-method", str(file)]) == 2
    assert "defines 0 methods" in capsys.readouterr().err
