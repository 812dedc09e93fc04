"""experiment=all_methods: every method and bound beside the architectures, each record as it should be."""

from pathlib import Path

import pytest

import scbench
from scbench.config.files import ROOT, names

TASKS = ("en_qa",)  # of twelve, which take more than half an hour


@pytest.mark.slow
def test_every_method_and_bound_runs_in_both_modes(tmp_path: Path) -> None:
    found = scbench.evaluate("experiment=all_methods", f"task={','.join(TASKS)}", f"results={tmp_path}")
    assert set(found.outcome) <= {"ok", "noop"}
    assert {name.split()[0] for name in found.method} == set(names(ROOT / "conf", "method"))
    assert set(found.model) == {"smollm2_135m", "random_mamba2", "random_jamba"}
    assert {name.split()[0] for name in found.task} == set(TASKS)
    assert set(found["mode"]) == {"multi_turn", "multi_request"}
    full = found[found.method == "snapkv"]
    assert len(full) == len(TASKS) * 2 * 2  # both modes, two turns
    assert set(full.outcome) == {"ok"}
