"""MInference's tables: the published ones against what is known of them, files, and what is no table."""

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.method_pairs import TABLE
from scbench.errors import ScbenchError
from scbench.methods.base import Base
from scbench.methods.generation import minference_table
from scbench.methods.generation.minference import MInference
from scbench.methods.generation.minference_table import Pattern, Table, published, read

PUBLISHED = {  # layers, heads, and how many heads have which (vertical, slash), as counted in the authors' files
    "glm4_9b_1m": (40, 32, {(1000, 6096): 1026, (3500, 100): 145, (30, 800): 77, (500, 700): 18, (100, 800): 14}),
    "llama3_1_70b": (
        *(80, 64),
        {(3500, 100): 2331, (1000, 6096): 818, (30, 800): 777, (500, 700): 698, (100, 800): 380, (100, 750): 116},
    ),
    "llama3_1_8b": (32, 32, {(512, 2048): 1024}),
    "llama3_1_8b_v1": (
        *(32, 32),
        {(100, 800): 297, (1000, 6096): 279, (30, 800): 175, (3500, 100): 149, (500, 700): 120, (100, 750): 4},
    ),
    "llama3_8b_262k": (32, 32, {(1000, 6096): 473, (30, 800): 278, (100, 800): 153, (3500, 100): 89, (500, 700): 31}),
    "qwen2_5_32b": (
        *(64, 40),
        {(1000, 6096): 1789, (3500, 100): 439, (30, 800): 224, (500, 700): 63, (100, 800): 29, (100, 750): 16},
    ),
    "qwen2_5_72b": (
        *(80, 64),
        {(1000, 6096): 5073, (30, 800): 23, (3500, 100): 17, (100, 800): 5, (100, 750): 1, (500, 700): 1},
    ),
}

patterns = st.one_of(
    st.builds(lambda v, s: Pattern("vertical_and_slash", (v, s)), st.integers(0, 5000), st.integers(1, 9000)),
    st.builds(lambda v, s: Pattern("stream_llm", (v, s)), st.integers(0, 500), st.integers(1, 900)),
    st.builds(lambda n: Pattern("block_sparse", (n,)), st.integers(1, 100)),
)


def write(tmp_path, data):
    file = tmp_path / "table.json"
    file.write_text(data if isinstance(data, str) else json.dumps(data))
    return str(file)


def test_the_published_tables_are_the_authors():
    assert published() == sorted(PUBLISHED)
    for name, (layers, heads, counts) in PUBLISHED.items():
        table = read(name)
        assert (len(table.layers), table.heads, table.missing) == (layers, heads, 0)
        assert Counter(pattern for layer in table.layers for pattern in layer) == {
            Pattern("vertical_and_slash", sizes): count for sizes, count in counts.items()
        }
        data = json.loads((minference_table.PUBLISHED / f"{name}.json").read_text())
        assert data["source"]["repository"] == "microsoft/MInference"
        assert data["source"]["file"].startswith("minference/configs/")


@settings(max_examples=30, deadline=None)
@given(st.data(), st.integers(1, 4), st.integers(1, 5))
def test_a_written_table_is_read_as_it_was(tmp_path_factory, data, layers, heads):
    row = st.lists(st.one_of(st.none(), patterns), min_size=heads, max_size=heads)
    rows = data.draw(st.lists(st.one_of(row, st.none()), min_size=layers, max_size=layers))
    if all(one is None for one in rows):
        rows[0] = data.draw(row)
    text = minference_table.text(rows, "a model", {"by": "the test"}, recall=[[0.5] * heads] * layers)
    table = read(write(tmp_path_factory.mktemp("table"), text))
    assert table.layers == tuple(tuple(one or [None] * heads) for one in rows)
    assert json.loads(text)["recall"] == [[0.5] * heads] * layers


def test_the_authors_format_is_the_same_table(tmp_path):
    own = {
        "patterns": [["vertical_and_slash", 30, 800], ["stream_llm", 100, 700], ["block_sparse", 100]],
        "heads": [[0, 1], [None, 2], None],
    }
    authors = [
        {"0": ["vertical_and_slash", 30, 800, 0.9], "1": ["stream_llm", 100, 700, 336]},
        {"1": ["block_sparse", 10, 1, 0.2]},
        {},
    ]
    one, other = read(write(tmp_path, own)), read(write(tmp_path, authors))
    assert one.layers == other.layers
    assert one.hash == other.hash
    assert one.missing == 3
    assert one.of(1) == (Pattern("vertical_and_slash", (1000, 6096)), Pattern("block_sparse", (100,)))


def test_a_hash_names_the_patterns_and_their_places():
    a, b = Pattern("stream_llm", (1, 2)), Pattern("vertical_and_slash", (1, 2))
    tables = [((a, b),), ((b, a),), ((a,), (b,)), ((a, None),), ((a, a),)]
    assert len({Table("x", layers).hash for layers in tables}) == len(tables)
    assert Table("x", tables[0]).hash == Table("y", tables[0]).hash


OWN = {"patterns": [["stream_llm", 4, 60]], "heads": [[0, 0], [0, 0]]}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("{", "is no table of patterns (Expecting"),
        ({**OWN, "heads": [[0, 1], [0, 0]]}, "layer 0 names pattern 1, and there are 1"),
        ({**OWN, "heads": [[0, -1], [0, 0]]}, "layer 0 names pattern -1"),
        ({**OWN, "heads": [[0], [0, 0]]}, "its layers must have heads, and all as many"),
        ({**OWN, "heads": [[], []]}, "its layers must have heads, and all as many"),
        ({**OWN, "heads": []}, "its layers must have heads, and all as many"),
        ({**OWN, "patterns": [["dense", 4, 60]]}, "there is no kind 'dense', only vertical_and_slash"),
        ({**OWN, "patterns": [["stream_llm", 4]]}, "stream_llm needs sinks, window"),
        ({**OWN, "patterns": [["block_sparse", 0]]}, "the last at least 1, not [0]"),
        ({**OWN, "patterns": [["stream_llm", 4, 0.5]]}, "whole numbers"),
        ({"heads": [[0]]}, "'patterns'"),
        ([], "is no table of patterns"),
        ([{"0": ["vertical_and_slash", 4]}], "is no table of patterns"),
        ("3", "is no table of patterns"),
    ],
)
def test_what_is_no_table_is_refused_in_a_line(tmp_path, data, words):
    with pytest.raises(ScbenchError) as error:
        MInference(table=write(tmp_path, data))
    assert words in str(error.value)
    assert str(error.value).startswith(f"minference: table={tmp_path / 'table.json'}")
    assert "\n" not in str(error.value)


def test_a_table_that_is_not_there_is_refused_with_the_published_names():
    with pytest.raises(
        ScbenchError, match=r"table=llama: No such file or directory; give a file, or one of glm4_9b_1m"
    ):
        MInference(table="llama")


def test_a_table_is_for_one_shape_of_model(caplog):
    method = MInference(table=TABLE)
    method.check_model(3, 4)
    assert "no pattern for 1 of 12 heads; they follow vertical_and_slash (1000, 6096)" in caplog.text
    for shape in ((2, 4), (3, 8)):
        with pytest.raises(
            ScbenchError, match=rf"for 3 layers of 4 query heads, the model has {shape[0]} of {shape[1]}"
        ):
            method.check_model(*shape)
    MInference().check_model(2, 4)


@pytest.mark.parametrize(
    ("pattern", "tokens"),
    [
        (Pattern("vertical_and_slash", (30, 800)), 800),
        (Pattern("vertical_and_slash", (900, 80)), 900),
        (Pattern("stream_llm", (100, 800)), 900),
        (Pattern("block_sparse", (10,)), 640),
    ],
)
def test_a_table_has_nothing_to_do_where_every_pattern_reads_everything(tmp_path, pattern, tokens):
    wide = Pattern("stream_llm", (0, 10**6))
    method = MInference(table=write(tmp_path, minference_table.text([[pattern, wide]], "", {})))
    assert method.idle(Base(tokens))
    assert not method.idle(Base(tokens + 1))
