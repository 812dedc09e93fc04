"""`scbench ui`: which page it opens."""

import json
import os

import pytest

from scbench.cli import main


@pytest.fixture
def tracked(tmp_path, monkeypatch):
    """Sweeps that were tracked by a server, the last one last."""
    monkeypatch.chdir(tmp_path)
    opened = []
    monkeypatch.setattr("scbench.cli.tracking.webbrowser.open", opened.append)

    def track(*sweeps):
        for age, sweep in enumerate(sweeps):
            folder = tmp_path / "results" / sweep
            folder.mkdir(parents=True)
            (folder / "manifest.json").write_text("{}")
            known = {"tracking_uri": "https://tracking.example/", "compare": f"https://tracking.example/#/{sweep}"}
            (folder / "mlflow.json").write_text(json.dumps(known))
            os.utime(folder / "mlflow.json", (age, age))
        return opened

    return track


def test_the_comparison_of_the_sweep_tracked_last_is_opened(tracked, capsys):
    opened = tracked("zz", "aa")
    assert main(["ui"]) == 0
    assert main(["ui", "zz"]) == 0
    assert main(["ui", "results/zz"]) == 0
    assert opened == [f"https://tracking.example/#/{sweep}" for sweep in ("aa", "zz", "zz")]
    assert capsys.readouterr().out.split() == opened


def test_a_sweep_that_was_not_tracked_is_named(tracked, tmp_path, capsys):
    tracked()
    assert main(["ui"]) == 2
    assert "no sweep in results/ has been tracked yet" in capsys.readouterr().err
    tracked("aa")
    (tmp_path / "results" / "aa" / "mlflow.json").unlink()
    assert main(["ui", "aa"]) == 2
    assert "there is no results/aa/mlflow.json; run the sweep to its end" in capsys.readouterr().err
    assert main(["ui", "ab"]) == 2
    assert "there is no sweep 'ab'" in capsys.readouterr().err
