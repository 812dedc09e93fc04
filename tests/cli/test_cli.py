"""The command line: what it prints, and how it ends."""

import argparse
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scbench import cli
from scbench.cli.arguments import COMMANDS, parse
from scbench.config.files import ROOT
from scbench.errors import ScbenchError
from scbench.grid.plan import ensure, plan
from scbench.workflow import manifest_of, sources

LOADED = """
import sys
from scbench.cli import main
main({arguments})
print(*sys.modules, file=sys.stderr)
"""
INTERRUPTED = """
import os, signal, sys
from scbench import cli
cli.parse = lambda argv: os.kill(os.getpid(), signal.SIGINT)
sys.exit(cli.main())
"""


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.fixture(autouse=True)
def here(conf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands see the dummy configuration, and write below the test's folder."""
    monkeypatch.setenv("SCBENCH_CONF", str(conf))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), str(Path(__file__).parent)]))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("command", [[], ["sweep"], ["run"], ["list"], ["doctor"], ["run-family"], ["score"]])
def test_help_has_examples(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*command, "--help"]) == 0
    assert re.search(rf"examples:\n  scbench {' '.join(command)}", capsys.readouterr().out)


EXAMPLES = [example for command in COMMANDS.values() for example in command.examples]


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_real(example: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCBENCH_CONF")
    program, *arguments = shlex.split(example)
    parsed = parse(arguments)
    assert program == "scbench"
    if "overrides" in parsed:
        manifest = plan(parsed.overrides, ROOT / "conf")
        assert manifest.cells
        assert parsed.function is not cli.arguments.runs.run or len(manifest.families) == 1


@pytest.mark.parametrize("line", re.findall(r"^  (\S.*?)  ", cli.arguments.OVERRIDES, re.MULTILINE))
def test_an_override_in_the_help_is_real(line: str) -> None:
    (override,) = shlex.split(line)
    needed = ["method=streaming_llm"] if override.startswith("method.") else []
    assert plan([override, *needed], ROOT / "conf").cells


@pytest.mark.parametrize("arguments", [["--help"], ["list", "methods"], ["sweep", "--help"]])
def test_help_and_list_are_quick(arguments: list[str]) -> None:
    loaded = set(python(LOADED.format(arguments=arguments)).stderr.split())
    assert "scbench.cli" in loaded
    assert not loaded & {"torch", "transformers", "mlflow", "pandas", "hydra", "omegaconf", "rich"}


def test_list_prints_names_and_descriptions(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", "methods"]) == 0
    assert capsys.readouterr().out == "dense      Keeps everything\nsparse\nstreaming  Keeps a window\n"
    assert cli.main(["list", "experiments"]) == 0
    assert capsys.readouterr().out == "small  Two methods, both modes\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["swep"], "there is no command 'swep'; did you mean 'sweep'?"),
        ([], "the following arguments are required: COMMAND (`scbench --help` explains)"),
        (["list", "mthods"], "argument KIND: invalid choice: 'mthods'"),
        (["list"], "the following arguments are required: KIND"),
        (["run-family", "--manifest", "x"], "the following arguments are required: --family"),
        (["sweep", "--quick"], "unrecognized arguments: --quick"),
        (["run", "--", "-n"], "only `scbench sweep` hands what follows -- over to snakemake"),
        (["run", "methd=dense"], "'methd=dense': there is no 'methd'; did you mean 'method'?"),
        (["sweep", "task.length=many"], "Value 'many' of type 'str' could not be converted to Integer"),
        (["sessions", "--manifest", "nowhere/manifest.json", "--source", "x"], "nowhere/manifest.json cannot be read"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("scbench: ")
    assert message in printed.err
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize("arguments", [["sweep", "methd=dense"], ["list", "x"]])
def test_a_process_ends_with_code_2_and_no_traceback(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "scbench", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1


def test_run_names_the_families_to_choose_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "task=kv,qa"]) == 2
    error = capsys.readouterr().err
    for family in plan(["task=kv,qa"], Path(os.environ["SCBENCH_CONF"])).families:
        assert f"--family {family.id} (tiny, " in error
    assert "the overrides span 2 families" in error


def test_run_refuses_an_unknown_family(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--family", "abc"]) == 2
    assert "has no family abc; known: " in capsys.readouterr().err


def test_sweep_becomes_snakemake(monkeypatch: pytest.MonkeyPatch) -> None:
    class ReplacedError(Exception):
        pass

    def execv(program: str, command: list[str]) -> None:
        raise ReplacedError(command)

    monkeypatch.setattr(os, "execv", execv)

    def command(*rest: str) -> list[str]:
        with pytest.raises(ReplacedError) as caught:
            cli.main(["sweep", "experiment=small", "--", *rest])
        return list(caught.value.args[0])

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    config = ["--config", "manifest=results/small/manifest.json"]
    snakemake = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    assert command("--dry-run", "--cores", "1") == [*snakemake, "--dry-run", "--cores", "1", *config]
    assert Path("results/small/manifest.json").is_file()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6,7")
    assert command("-n") == [*snakemake, "-n", "--resources", "gpu=3", *config]
    for said in (["--resources", "gpu=2"], ["--resources=gpu=2"], ["--profile", "slurm"], ["--executor=slurm"]):
        assert command("-n", *said) == [*snakemake, "-n", *said, *config]


def command_that(raises: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(arguments: argparse.Namespace) -> int:
        raise raises

    monkeypatch.setattr("scbench.cli.parse", lambda argv: argparse.Namespace(function=fail))


def test_interruption_is_one_line_and_exit_code_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command_that(KeyboardInterrupt, monkeypatch)
    assert cli.main([]) == 130
    assert capsys.readouterr().err == f"\nscbench: {cli.INTERRUPTED}\n"


def test_ctrl_c_ends_a_process_with_code_130() -> None:
    done = python(INTERRUPTED)
    assert (done.returncode, done.stderr.strip()) == (130, f"scbench: {cli.INTERRUPTED}")


@pytest.mark.parametrize(("arguments", "code"), [(["list", "methods"], 128 + signal.SIGPIPE), (["--help"], 0)])
def test_a_closed_pipe_is_no_error(arguments: list[str], code: int) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with subprocess.Popen(
        [sys.executable, "-m", "scbench", *arguments], stdout=writer, stderr=subprocess.PIPE
    ) as process:
        os.close(writer)
        _, error = process.communicate()
    assert (process.returncode, error) == (code, b"")


def test_snakemakes_configuration_names_the_sweep() -> None:
    by_name = manifest_of({"experiment": "small", "overrides": "method=dense 'mode=glob(*)'"}, main=True)
    assert len(by_name.cells) == 2
    assert manifest_of({"experiment": "small", "overrides": "method=dense 'mode=glob(*)'"}, main=False) == by_name
    assert manifest_of({"manifest": str(by_name.path)}, main=False) == by_name
    assert manifest_of({"overrides": "experiment=small"}, main=True).sweep == "small"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"overides": "x=1"}, "--config overides=…: there is no such key; did you mean 'overrides'?"),
        ({"overrides": ["a"]}, "--config overrides=… takes one text"),
        ({"overrides": "task='kv"}, "--config overrides='task='kv': No closing quotation"),
        ({"experiment": "smal"}, "there is no experiment 'smal'; did you mean 'small'?"),
        ({"manifest": "nowhere.json"}, "nowhere.json cannot be read"),
    ],
)
def test_a_mistake_in_snakemakes_configuration(config: dict[str, object], message: str) -> None:
    with pytest.raises(ScbenchError) as caught:
        manifest_of(config, main=True)
    assert message in str(caught.value)


def test_a_job_composes_nothing() -> None:
    with pytest.raises(ScbenchError, match=r"results/small/manifest\.json cannot be read"):
        manifest_of({"experiment": "small"}, main=False)


def test_what_could_not_run_is_tried_again() -> None:
    manifest = ensure(["experiment=small"], Path(os.environ["SCBENCH_CONF"]))
    (family,), (source,) = manifest.families, manifest.sources
    for path, text in (
        (manifest.stamp(family.id), '{"family": "f", "cells": {"a": {"failed": "no model"}}}'),
        (manifest.sessions(source), '{"error": "no data"}\n'),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    manifest_of({"experiment": "small"}, main=False)
    assert manifest.stamp(family.id).exists()
    manifest_of({"experiment": "small"}, main=True)
    assert not manifest.stamp(family.id).exists()
    assert not manifest.sessions(source).exists()


def test_what_has_run_stays() -> None:
    manifest = ensure(["experiment=small"], Path(os.environ["SCBENCH_CONF"]))
    (family,), (source,) = manifest.families, manifest.sources
    for path, text in (
        (manifest.stamp(family.id), '{"family": "f", "cells": {"a": {"sessions": 1, "outcomes": {"oom": 1}}}}'),
        (manifest.sessions(source), '{"id": "s0"}\n'),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    manifest_of({"experiment": "small"}, main=True)
    assert manifest.stamp(family.id).exists()
    assert manifest.sessions(source).exists()


def test_rules_depend_on_sources_that_exist() -> None:
    found = sources("scoring/**/*.py", "report/**/*")
    assert all(Path(file).is_file() for file in found)
    assert {Path(file).suffix for file in found} == {".py", ".j2", ".js", ".css"}
