import json
import os

import pytest

from scbench.errors import ScbenchError
from scbench.results.files import write_json_atomic, write_text_atomic


def test_json_replaces_the_old_file_and_leaves_nothing_beside(tmp_path):
    path = tmp_path / "new" / "manifest.json"
    write_json_atomic(path, {"a": 1})
    write_json_atomic(path, {"名": [1.5, None]})
    assert json.loads(path.read_text(encoding="utf-8")) == {"名": [1.5, None]}
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file_and_names_it(tmp_path, monkeypatch):
    path = tmp_path / "scores.csv"
    write_text_atomic(path, "old")

    def full(_descriptor):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ScbenchError, match=r"scores\.csv: No space left on device"):
        write_text_atomic(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
