"""`scbench doctor` looks for engines in the interpreters that their configuration names."""

from __future__ import annotations

from pathlib import Path

import pytest

from scbench.doctor import findings


def test_engines_are_looked_for_in_their_own_interpreters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    python = tmp_path / ".venv-kvpress/bin/python"
    python.parent.mkdir(parents=True)
    python.touch()
    package = tmp_path / ".venv-kvpress/lib/python3.11/site-packages/kvpress-0.5.5.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: kvpress\nVersion: 0.5.5\n")
    said = [line for line in findings() if "engine=" in line]
    assert said == [
        "--  engine=vllm, optional: engine.python=.venv-vllm/bin/python: there is no such interpreter; "
        "`make vllm` installs it",
        "ok  engine=kvpress: kvpress 0.5.5 (.venv-kvpress/bin/python)",
    ]
