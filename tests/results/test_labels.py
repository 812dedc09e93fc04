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
    assert (label.title, label.generated) == ("Retr.KV", False)


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
