"""The workflow: what runs, and what runs again after a change. In a copy of the repository, without a model's work."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from toy_tokenizers import byte_level

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow

# Stands in for the engine in the copy: answers every question rightly, notes which sessions it computed, takes $PACE
# seconds for each, and says which process it is.
RUN = """
import os
import time
from dataclasses import dataclass
from pathlib import Path
from scbench.errors import ScbenchError
from scbench.grid.manifest import Manifest
from scbench.grid.shard import WHOLE, Shard
from scbench.record import KvBytes, Outcome, Record
from scbench.results.store import CellStore
from scbench.tasks.sessions import read


@dataclass(frozen=True)
class FamilySummary:
    family: str
    cells: dict
    shard: Shard = WHOLE


def run_family(manifest_path, family_id, progress, load, shard, last):
    manifest = Manifest.read(manifest_path)
    family = manifest.family(family_id)
    try:
        sessions = list(read(manifest.sessions(family.source)))
    except ScbenchError as error:
        return FamilySummary(family_id, {name: {"failed": str(error)} for name in family.cells})
    return FamilySummary(family_id, {name: _cell(manifest, sessions, name) for name in family.cells})


def _cell(manifest, sessions, name):
    Path("pid").write_text(str(os.getpid()))
    store = CellStore(manifest.root, name)
    with store.writer() as writer, Path("computed").open("a", buffering=1) as log:
        for session in sessions:
            if session.id not in store.finished():
                time.sleep(float(os.environ.get("PACE", "0")))
                writer.append([_record(name, session, turn) for turn in range(len(session.turns))])
                print(manifest.cells[name].method_name, manifest.cells[name].mode.name, session.id, file=log)
                with Path("seen").open("a") as seen:
                    print(os.getpid(), os.environ.get("CUDA_VISIBLE_DEVICES"), file=seen)
    return {"sessions": len(sessions), "computed": 0, "outcomes": {}}


def _record(name, session, turn):
    gold = session.turns[turn].answer
    kv = KvBytes(8, 8, 8, 8)
    return Record(name, session.id, turn, len(session.turns), Outcome.OK, str(gold), gold, kv_bytes=kv)
"""

METHOD = """
from dataclasses import dataclass
from scbench.methods.base import Method


@dataclass(frozen=True)
class Own(Method):
    strength: int = 1
"""


class Project:
    """A copy of the repository with a user's method, and the commands that a user types in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("Snakefile", "workflow", "profiles", "conf", "src"):
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, root / name)
        self.write("src/scbench/run/family.py", RUN)
        self.write("own_method.py", METHOD)
        self.write("conf/method/own.yaml", "# A user's method\n_target_: own_method.Own\nstrength: 1\n")
        byte_level(["<|end|>"], eos="<|end|>").save_pretrained(root / "tiny")
        self.write("tiny/config.json", '{"model_type": "llama"}')
        self.write(
            "conf/model/tiny.yaml",
            "# No weights\n_target_: scbench.models.model.ModelConfig\npath: ./tiny\nrevision: null\nwindow: null\n"
            "dtype: auto\ntrust_remote_code: false\n",
        )
        self.write(
            "conf/experiment/demo.yaml",
            "# @package _global_\n# A trial\nsweep:\n  model: tiny\n  method: dense,own\n  task: retr_kv\n"
            "  mode: glob(*)\n  task.length: 2000\n  task.limit: 1\n  task.turns: 2\n",
        )

    def write(self, name: str, text: str) -> None:
        (self.root / name).write_text(text)

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.root / name).read_text()
        assert old in text
        self.write(name, text.replace(old, new))

    def start(self, *arguments: str, pace: float = 0) -> subprocess.Popen[str]:
        paths = f"{self.root / 'src'}:{self.root}"
        environment = {**os.environ, "PYTHONPATH": paths, "MLFLOW_TRACKING_URI": "", "PACE": str(pace)}
        return subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=self.root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, code: int = 0) -> str:
        with self.start(*arguments) as process:
            printed, _ = process.communicate()
        assert process.returncode == code, printed
        return printed

    def snakemake(self, *arguments: str) -> str:
        return self.run("snakemake", *arguments)

    def jobs(self, *arguments: str) -> dict[str, int]:
        """The jobs that a dry run would start, by rule; the rule that prints the table always runs."""
        printed = self.snakemake("--dry-run", *arguments)
        return dict(Counter(re.findall(r"^(?:local)?rule (\w+):", printed, re.MULTILINE)) - Counter(["all"]))

    def wait_for(self, sessions: int) -> int:
        """The process id of the job, once it has computed so many sessions."""
        log = self.root / "computed"
        for _ in range(3000):  # patience, where many tests share the machine
            if log.exists() and len(log.read_text().splitlines()) >= sessions:
                return int((self.root / "pid").read_text())
            time.sleep(0.1)
        raise TimeoutError(f"no {sessions} sessions after five minutes")

    def tables(self) -> dict[str, str]:
        """What the tables of scores say."""
        return {file.name: file.read_text() for file in (self.root / "results/demo/tables").glob("[!c]*.csv")}

    def computed(self) -> list[str]:
        """The sessions computed since the last call."""
        log = self.root / "computed"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return sorted(line.rpartition(" ")[0] for line in lines)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, list[str]]:
    """A finished demo sweep: where it lies, what was printed, what was computed."""
    project = Project(tmp_path_factory.mktemp("finished"))
    printed = project.snakemake()
    return project.root, printed, project.computed()


@pytest.fixture
def project(finished: tuple[Path, str, list[str]], tmp_path: Path) -> Project:
    """A copy of the finished sweep, with the times of its files."""
    root = tmp_path / "project"
    shutil.copytree(finished[0], root, symlinks=True)
    copied = Project.__new__(Project)
    copied.root = root
    return copied


CELLS = ["dense multi_request", "dense multi_turn", "own multi_request", "own multi_turn"]
SCORING = {"score": 1, "tables": 1, "report": 1, "track": 1, "artifacts": 1}


def test_the_demo_prints_its_table_and_where_its_files_are(finished: tuple[Path, str, list[str]]) -> None:
    root, printed, computed = finished
    assert computed == CELLS
    for word in ("Retr.KV (gen)", "100.0", "demo/tables", "demo/report.html", "mlflow.db"):
        assert word in printed.replace("\n", ""), printed
    for name in ("scores.csv", "tables/cells.md", "report.html", "figures/score_memory.pdf", "mlflow.json"):
        assert (root / "results/demo" / name).is_file()


def test_a_finished_sweep_has_nothing_to_do_but_print(project: Project) -> None:
    assert project.jobs() == {}
    assert "Retr.KV (gen)" in project.snakemake()
    assert project.computed() == []


def test_a_changed_method_configuration_runs_that_method_alone(project: Project) -> None:
    project.edit("conf/method/own.yaml", "strength: 1", "strength: 2")
    assert project.jobs() == {"run": 1, **SCORING}
    project.snakemake()
    assert project.computed() == ["own multi_request", "own multi_turn"]
    assert project.jobs() == {}


def test_a_changed_method_source_runs_that_method_alone(project: Project) -> None:
    project.edit("own_method.py", "strength: int = 1", "strength: int = 1  # changed")
    project.snakemake()
    assert project.computed() == ["own multi_request", "own multi_turn"]


def test_a_changed_scorer_scores_again_without_a_model(project: Project) -> None:
    (scorer, *_) = sorted((project.root / "src/scbench/scoring").glob("[a-z]*.py"))
    scorer.write_text(scorer.read_text() + "\n# changed\n")
    assert project.jobs() == SCORING


@pytest.mark.parametrize("name", ["report.html.j2", "report.css", "tables.js"])
def test_a_changed_report_template_only_reports(project: Project, name: str) -> None:
    template = project.root / "src/scbench/report/templates" / name
    template.write_text(template.read_text() + "\n")
    assert project.jobs() == {"report": 1, "artifacts": 1}


def test_an_added_method_runs_its_own_cells(project: Project) -> None:
    project.edit("conf/experiment/demo.yaml", "dense,own", "dense,own,streaming_llm")
    assert project.jobs() == {"run": 1, **SCORING}
    project.snakemake()
    assert project.computed() == ["streaming_llm multi_request", "streaming_llm multi_turn"]


def test_more_sessions_extend_the_same_cells(project: Project) -> None:
    cells = set((project.root / "results/cells").iterdir())
    project.edit("conf/experiment/demo.yaml", "limit: 1", "limit: 2")
    project.snakemake()
    assert len(project.computed()) == 4
    assert set((project.root / "results/cells").iterdir()) == cells


def test_another_sweep_over_the_same_cells_computes_nothing(project: Project) -> None:
    project.snakemake("--config", "experiment=demo", "overrides=method=own mode=multi_turn")
    assert project.computed() == []
    assert len(list((project.root / "results").glob("demo-*/report.html"))) == 1


def test_a_missing_model_fails_its_own_cells_and_is_tried_again(project: Project) -> None:
    sweep = ("--config", "overrides=model=tiny,tiny_2 model.tiny_2.path=./later")
    project.write("conf/model/tiny_2.yaml", (project.root / "conf/model/tiny.yaml").read_text())
    printed = project.snakemake(*sweep)
    assert "./later: no such folder" in printed.replace("\n", "")
    assert "100.0" in printed
    shutil.copytree(project.root / "tiny", project.root / "later")
    assert "no such folder" not in project.snakemake(*sweep)
    assert len(project.computed()) == 4


def test_a_typo_is_one_line(project: Project) -> None:
    printed = project.run("snakemake", "--config", "overrides=methd=dense", code=2)
    (line,) = [line for line in printed.splitlines() if not line.startswith("Using workflow specific profile")]
    assert line == "scbench: 'methd=dense': there is no 'methd'; did you mean 'method'?"


def test_scbench_sweep_hands_over_to_snakemake(project: Project) -> None:
    printed = project.run("scbench", "sweep", "experiment=demo", "--", "--dry-run")
    assert "\nresults/demo/manifest.json: 4 cells in 1 families, 1 jobs, of which 1 are done\n" in printed
    assert not re.findall(r"^rule (?!all:)", printed, re.MULTILINE)


def test_scbench_run_shares_the_records(project: Project) -> None:
    printed = project.run("scbench", "run", "experiment=demo", "method=dense,streaming_llm")
    assert "Retr.KV (gen)" in printed
    assert project.computed() == ["streaming_llm multi_request", "streaming_llm multi_turn"]


def test_evaluate_gives_the_scored_records(project: Project) -> None:
    code = "import scbench; print(scbench.evaluate('experiment=demo', 'method=own').strict.tolist())"
    project.write("evaluate_it.py", code)
    assert project.run("evaluate_it") == "[1.0, 1.0, 1.0, 1.0]\n"
    assert project.computed() == []


@pytest.fixture
def unfinished(project: Project) -> Project:
    """The demo with three sessions per cell, of which it has one."""
    project.edit("conf/experiment/demo.yaml", "limit: 1", "limit: 3")
    return project


@pytest.fixture(scope="module")
def undisturbed(finished: tuple[Path, str, list[str]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The tables of the demo with three sessions per cell, made in one go."""
    project = Project(tmp_path_factory.mktemp("undisturbed"))
    project.edit("conf/experiment/demo.yaml", "limit: 1", "limit: 3")
    project.snakemake()
    return project.tables()


@pytest.mark.parametrize("sessions", [1, pytest.param(4, marks=pytest.mark.long), 7])
def test_a_killed_job_goes_on_where_it_was(unfinished: Project, undisturbed: dict[str, str], sessions: int) -> None:
    with unfinished.start("snakemake", pace=0.3) as process:
        os.kill(unfinished.wait_for(sessions), signal.SIGKILL)
        process.communicate()
    assert process.returncode == 1
    unfinished.snakemake()
    assert unfinished.computed() == sorted([*CELLS, *CELLS]), "each of the two new sessions of the four cells once"
    assert unfinished.tables() == undisturbed


@pytest.mark.parametrize(
    "sessions", [pytest.param(1, marks=pytest.mark.long), 4, pytest.param(7, marks=pytest.mark.long)]
)
def test_a_killed_snakemake_leaves_a_job_that_the_next_one_waits_for(
    unfinished: Project, undisturbed: dict[str, str], sessions: int
) -> None:
    with unfinished.start("snakemake", pace=0.3) as process:
        unfinished.wait_for(sessions)
        process.kill()
        unfinished.snakemake()
    assert unfinished.computed() == sorted([*CELLS, *CELLS])
    assert unfinished.tables() == undisturbed


def test_jobs_side_by_side_have_a_gpu_each(project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Four families on two GPUs that are only said to be there; each notes which it sees at every session.

    A job takes the first that is free, so the second is used only while another job has the first.
    """
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    (project.root / "seen").unlink()
    families = "overrides=experiment=demo task.limit=3 task.seed=1,2,3,4 method=dense"
    with project.start(
        *("snakemake", "--cores", "2", "--default-resources", "device=h100", "--config", families), pace=0.5
    ) as process:
        printed, _ = process.communicate()
    assert process.returncode == 0, printed
    seen: dict[str, set[str]] = {}
    for line in (project.root / "seen").read_text().splitlines():
        job, gpus = line.split()
        seen.setdefault(job, set()).add(gpus)
    assert len(seen) == 4
    assert all(len(gpus) == 1 for gpus in seen.values())
    assert set.union(*seen.values()) == {"5", "7"}
