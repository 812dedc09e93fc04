"""experiment=all_methods: every method and bound on every task, and the architectures, each record as it should be."""

from pathlib import Path

import pytest

import scbench
from scbench.config.compose import compose
from scbench.config.files import ROOT, names

TWELVE = [name for name in names(ROOT / "conf", "task") if not name.startswith("gen_")]
EXACT = {"dense", "dense_repeat"}  # all others leave something out


@pytest.mark.slow
@pytest.mark.parametrize("task", TWELVE)
def test_every_method_and_bound_runs_in_both_modes(task: str, tmp_path: Path) -> None:
    found = scbench.evaluate("experiment=all_methods", f"task={task}", f"results={tmp_path}")
    assert set(found.outcome) <= {"ok", "noop"}, found[~found.outcome.isin(["ok", "noop"])].to_string()
    assert {name.split()[0] for name in found.method} == set(names(ROOT / "conf", "method"))
    assert set(found.model) == {"smollm2_135m", "random_mamba2", "random_jamba"}
    assert {name.split()[0] for name in found.task} == {task}
    assert set(found["mode"]) == {"multi_turn", "multi_request"}
    turns = found.groupby(["model", "method", "task", "mode"]).turn.nunique()
    assert set(turns) == {2}, turns[turns != 2].to_string()
    acted = found[~found.method.str.split().str[0].isin(EXACT)]
    assert set(acted.outcome) == {"ok"}, acted[acted.outcome != "ok"].to_string()


def test_the_experiment_has_all_twelve_tasks() -> None:
    cells = compose(["experiment=all_methods"], ROOT / "conf").cells
    assert {cell.task.name for cell in cells} == set(TWELVE)
