import pytest

from scbench.results.labels import budget_text, labels
from sweep_builder import cell


def test_names_are_short_where_nothing_else_differs():
    label = labels({"a": cell(), "b": cell("streaming_llm", budget=0.25)})["b"]
    assert (label.row, label.title, label.task, label.setting) == (
        "streaming_llm (25%)",
        "Retr.KV (gen)",
        "retr_kv",
        "",
    )


def test_published_data_has_no_mark():
    label = labels({"a": cell(task_options={"data": "kv.jsonl"})})["a"]
    assert (label.title, label.kind) == ("Retr.KV", "")


@pytest.mark.parametrize(
    ("options", "title"),
    [
        ({"context": "full"}, "Retr.KV (gen)"),
        ({"context": "none"}, "Retr.KV (gen, no context)"),
        ({"context": "shuffled"}, "Retr.KV (gen, shuffled context)"),
        ({"context": "none", "data": "kv.jsonl"}, "Retr.KV (no context)"),
    ],
)
def test_a_floor_says_so(options, title):
    assert labels({"a": cell(task_options=options)})["a"].title == title


def test_floors_beside_full_contexts_say_it_once():
    named = labels({name: cell(task_options={"context": name}) for name in ("full", "none", "shuffled")})
    assert [label.title for label in named.values()] == [
        "Retr.KV (gen)",
        "Retr.KV (gen, no context)",
        "Retr.KV (gen, shuffled context)",
    ]
    assert named["none"].task == "retr_kv context=none"


def test_every_difference_between_cells_is_in_their_labels():
    cells = {
        "a": cell(),
        "b": cell(task_options={"length": 1024}),
        "c": cell("streaming_llm", options={"sinks": 4}, budget=512),
        "d": cell("streaming_llm", options={"sinks": 8}, budget=512),
        "e": cell(history="generated"),
        "f": cell(model="other"),
        "g": cell(mode="multi_request"),
    }
    named = labels(cells)
    assert len({(label.model, label.row, label.setting, label.title, label.mode) for label in named.values()}) == 7
    assert named["b"].title == "Retr.KV (gen) length=1024"
    assert named["d"].row == "streaming_llm sinks=8 (512 tokens)"
    assert named["e"].setting == "history=generated"
    assert named["g"].setting == ""  # only cells of one mode are told apart by settings


@pytest.mark.parametrize(
    ("budget", "text"), [(None, ""), (1.0, "100%"), (0.125, "12.5%"), (512, "512 tokens"), ("64MiB", "64MiB")]
)
def test_budgets_keep_their_unit(budget, text):
    assert budget_text(budget) == text
