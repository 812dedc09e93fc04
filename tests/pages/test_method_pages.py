"""The pages of `docs/methods` are those of the code, and say what it says."""

from pathlib import Path

import pytest

from scbench.pages.methods import documented, index, page

ROOT = Path(__file__).parents[2]
METHODS = documented(ROOT / "conf")
WITH_PRESETS = """\
# A method of the tests
_target_: scbench.methods.compression.snapkv.SnapKV
tokens: 100
window: 8 # its last | queries
presets:
  paper:
    tokens: 4096
  code:
    tokens: 1024
    group: each
"""


def the(name):
    return next(one for one in METHODS if one.name == name)


def row(text, start):
    return next(line for line in text.splitlines() if line.startswith(f"| {start} |"))


@pytest.mark.parametrize("one", METHODS, ids=lambda one: one.name)
def test_pages_are_those_of_the_code(one):
    """`python -m scbench.pages methods` writes them anew."""
    assert (ROOT / "docs" / "methods" / f"{one.name}.md").read_text(encoding="utf-8") == page(one, METHODS)


def test_the_index_is_that_of_the_code_and_nothing_else_is_there():
    folder = ROOT / "docs" / "methods"
    assert (folder / "README.md").read_text(encoding="utf-8") == index(METHODS)
    configured = {file.stem for file in (ROOT / "conf" / "method").glob("*.yaml") if "_target_:" in file.read_text()}
    assert {file.stem for file in folder.glob("*.md")} == {"README", *configured}


@pytest.mark.parametrize("one", METHODS, ids=lambda one: one.name)
def test_every_option_is_explained(one):
    said = "".join((cls.__doc__ or "") for cls in (one.cls, *one.parents))
    assert [option for option in one.options if f"`{option}`" not in said and option not in one.notes] == []


def test_a_page_says_what_a_budget_is():
    text = page(the("streaming_llm"), METHODS)
    assert row(text, "`budget`") == "| `budget` | tokens kept per layer |"
    assert row(text, "`budget=512`").endswith("(`sinks` = `16`, `window` = `496`) |")  # 512 · 128 / 4096
    assert row(text, "Lossless").endswith("(`window` = unbounded) |")
    assert "nothing: one cell stands for all budgets" in row(page(the("cacheblend"), METHODS), "`budget`")
    assert "bits, where it is in bytes" in row(page(the("kivi"), METHODS), "`budget`")
    assert "read per new token" in row(page(the("quest"), METHODS), "`budget`")


def test_a_page_says_whose_prefill_it_is():
    assert row(page(the("snapkv"), METHODS), "Prefill").startswith("| Prefill | dense, shared")
    assert row(page(the("a_shape"), METHODS), "Prefill") == "| Prefill | its own (`a_shape`) |"
    assert "(`minference`), planned over the whole prompt" in row(page(the("minference"), METHODS), "Prefill")


def test_a_page_names_its_source_and_what_it_builds_on():
    text = page(the("pyramidkv"), METHODS)
    assert "Source: [arXiv 2406.02069](https://arxiv.org/abs/2406.02069), §3.2." in text
    assert "as in [SnapKV](snapkv.md)" in text
    assert "as in [" not in page(the("snapkv"), METHODS)


def test_presets_and_comments_are_shown(tmp_path):
    (tmp_path / "config.yaml").touch()  # so that it stands alone
    (tmp_path / "method").mkdir()
    (tmp_path / "method" / "mine.yaml").write_text(WITH_PRESETS)
    (tmp_path / "method" / "no_class.yaml").write_text("tokens: 3\n")
    (one,) = documented(tmp_path)
    text = page(one, [one])
    assert "| Option | Default | `paper` | `code` |" in text
    assert row(text, "`tokens`") == "| `tokens` | `100` | `4096` | `1024` |"
    assert row(text, "`group`") == "| `group` | `mean` | – | `each` |"
    assert row(text, "`method.mine.window`") == r"| `method.mine.window` | int | `8` | its last \| queries |"
    assert "Source" not in page(the("dense"), METHODS)
    assert "## Presets" not in page(the("snapkv"), METHODS) or the("snapkv").presets
