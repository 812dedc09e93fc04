"""Presets: other values for a method's options, from its file."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from scbench.config.compose import compose
from scbench.config.files import ROOT, names
from scbench.errors import ScbenchError

CONF = ROOT / "conf"


def options(*overrides: str) -> list[dict[str, object]]:
    return [dict(method.options) for cell in compose(overrides, CONF).cells for method in cell.methods]


def test_a_preset_replaces_values_and_an_override_wins() -> None:
    assert options("method=quest")[0]["tokens"] == 1024
    assert options("method=quest", "preset=paper")[0]["tokens"] == 4096
    assert options("method=quest", "preset=paper", "method.tokens=7")[0]["tokens"] == 7
    code = options("method=quest", "preset=code")[0]
    assert (code["group"], code["dense_layers"], code["tokens"]) == ("each", 0, 1024)


def test_presets_are_swept_and_equal_ones_merge() -> None:
    assert [found["group"] for found in options("method=snapkv", "preset=own,paper,code")] == ["mean", "each"]
    assert len(options("method=dense", "preset=own,paper,code")) == 1


def test_composed_methods_have_one_preset() -> None:
    found = options("method=a_shape+quest", "preset=own,paper")
    assert [(one.get("window"), one.get("tokens")) for one in found] == [
        (3968, None),
        (None, 1024),
        (4096, None),
        (None, 4096),
    ]


@pytest.mark.parametrize("name", sorted(set(names(CONF, "method")) - {"dense"}))
def test_every_method_says_what_its_presets_are(name: str) -> None:
    """A preset that is the same is written down as empty: somebody has looked."""
    presets = OmegaConf.load(CONF / "method" / f"{name}.yaml").presets
    assert set(presets) - {"tiny"} == {"paper", "code"}


def test_per_query_head_is_the_authors_way_and_not_the_default() -> None:
    for name in ("snapkv", "pyramidkv", "quest", "retrieval_attention", "oracle_topk"):
        assert [options(f"method={name}", f"preset={p}")[0]["group"] for p in ("own", "code")] == ["mean", "each"]


def test_an_unknown_preset_is_refused_with_a_hint() -> None:
    with pytest.raises(ScbenchError, match="'preset=papr': there is no preset 'papr'; did you mean 'paper'"):
        options("method=quest", "preset=papr")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("presets: {code: {sinkz: 3}}", r"presets.code has no option 'sinkz'; did you mean 'sinks'"),
        ("presets: {old: {sinks: 3}}", r"presets.old: expected options under paper, code or tiny"),
        ("presets: {code: 3}", r"presets.code: expected options"),
        ("presets: 3", r"presets: expected the names paper, code"),
    ],
)
def test_a_mistake_in_a_file_is_told(text: str, said: str, tmp_path: Path) -> None:
    for group in CONF.iterdir():
        (tmp_path / group.name).symlink_to(group)
    (tmp_path / "method").unlink()
    (tmp_path / "method").mkdir()
    method = "_target_: scbench.methods.compression.streaming_llm.StreamingLLM\nsinks: 1\nwindow: 2\n"
    (tmp_path / "method" / "dense.yaml").write_text(method + text + "\n")
    with pytest.raises(ScbenchError, match=said):
        compose([], tmp_path)
