"""Fixtures shared by the tests of configuration, planning, command line and workflow."""

from pathlib import Path

import pytest

TASK = "length: 1024\nlimit: 2\nseed: 0\nturns: 5\nmax_new_tokens: 8\ndata: null\n"
TREE = {
    "config.yaml": """
        defaults:
          - model: tiny
          - method: dense
          - task: kv
          - mode: multi_turn
          - engine: own
          - experiment: null
          - _self_
        budget: null
        history: gold
        query: auto
        max_turns: all
        run: {save_ids: false, retry: false, threads: null, bundle: false}
        results: results
        """,
    "method/dense.yaml": "# Keeps everything\n_target_: dummy_classes.Dense\n",
    "method/streaming.yaml": "# Keeps a window\n_target_: dummy_classes.Streaming\nsinks: 4\nwindow: 64\n",
    "method/sparse.yaml": "_target_: dummy_classes.Sparse\npattern: a\nlayers: [0, 1]\n",
    "task/kv.yaml": f"# Keys and values\n_target_: dummy_classes.Task\n{TASK}",
    "task/qa.yaml": f"# Questions\n_target_: dummy_classes.Task\n{TASK}",
    "mode/multi_turn.yaml": "_target_: dummy_classes.Mode\nkind: multi_turn\n",
    "mode/multi_request.yaml": "_target_: dummy_classes.Mode\nkind: multi_request\n",
    "engine/own.yaml": "_target_: dummy_classes.Engine\ndevice: cpu\nchunk: 128\n",
    "experiment/small.yaml": """
        # @package _global_
        # Two methods, both modes
        sweep:
          method: dense,streaming
          mode: glob(*)
          budget: 0.25
          task.length: 256
          method.streaming.sinks: 2
        """,
}


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A small configuration folder over dummy classes, with two tiny models that are local folders."""
    folder = tmp_path / "conf"
    for name in ("tiny", "tiny2"):
        weights = tmp_path / "weights" / name
        weights.mkdir(parents=True)
        (weights / "tokenizer.json").write_text(name)
        model = folder / "model" / f"{name}.yaml"
        model.parent.mkdir(parents=True, exist_ok=True)
        model.write_text(
            f"_target_: scbench.models.model.ModelConfig\npath: {weights}\nrevision: null\nwindow: null\n"
            "dtype: auto\ntrust_remote_code: false\n"
        )
    for name, text in TREE.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = text.splitlines()
        indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
        file.write_text("\n".join(line[indent:] for line in lines).strip() + "\n")
    return folder
