"""Composition: what overrides mean, and what a user is told who mistypes one."""

import dataclasses
import json
import math
from contextlib import suppress
from pathlib import Path

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hypothesis import given
from hypothesis import strategies as st

from scbench.config.cell import Cell, Choice, SharedConfig, load_class
from scbench.config.compose import compose
from scbench.config.files import AXES, ROOT, describe, find_conf, names
from scbench.config.grammar import parse
from scbench.config.tree import open_tree
from scbench.errors import ScbenchError
from scbench.nearest import hint

CONF = ROOT / "conf"
NO_LOADER = ConfigLoaderImpl(ConfigSearchPathImpl())


def summary(cell: Cell) -> tuple[str, str, str, str]:
    return cell.model.name, cell.method_name, cell.task.name, cell.mode.name


def test_without_overrides_the_defaults_make_one_cell(conf: Path) -> None:
    (cell,) = compose([], conf).cells
    assert summary(cell) == ("tiny", "dense", "kv", "multi_turn")
    assert (cell.budget, cell.history, cell.query, cell.max_turns) == (None, "gold", "aware", None)
    assert cell.task.options == {
        "length": 1024,
        "limit": 2,
        "seed": 0,
        "turns": 5,
        "max_new_tokens": 8,
        "data": None,
    }


def test_every_axis_sweeps_and_the_cells_are_the_product(conf: Path) -> None:
    cells = compose(
        ["model=tiny,tiny2", "method=glob(s*)", "task=choice(kv,qa)", "mode=glob(*)", "budget=range(0.25,1.0,0.25)"],
        conf,
    ).cells
    assert len(cells) == len({json.dumps(cell.to_dict()) for cell in cells}) == 2 * 2 * 2 * 2 * 3
    assert {cell.method_name for cell in cells} == {"sparse", "streaming"}
    assert {cell.budget for cell in cells} == {0.25, 0.5, 0.75}


def test_an_option_is_set_for_all_choices_of_its_axis_or_for_one(conf: Path) -> None:
    cells = compose(["task=kv,qa", "task.length=128,256", "task.qa.turns=1"], conf).cells
    assert [(cell.task.name, cell.task.options["length"], cell.task.options["turns"]) for cell in cells] == [
        ("kv", 128, 5),
        ("kv", 256, 5),
        ("qa", 128, 1),
        ("qa", 256, 1),
    ]


def test_the_more_specific_override_wins_in_any_order(conf: Path) -> None:
    overrides = ["task=kv,qa", "task.qa.length=7", "task.length=9"]
    for order in (overrides, overrides[::-1]):
        assert [cell.task.options["length"] for cell in compose(order, conf).cells] == [9, 7]


def test_an_experiment_is_a_list_of_overrides(conf: Path) -> None:
    cells = compose(["experiment=small"], conf).cells
    assert {summary(cell)[1::2] for cell in cells} == {
        (method, mode) for method in ("dense", "streaming") for mode in ("multi_turn", "multi_request")
    }
    assert {cell.budget for cell in cells} == {0.25}
    assert {cell.task.options["length"] for cell in cells} == {256}
    assert {cell.methods[0].options.get("sinks") for cell in cells} == {None, 2}


def with_more(conf: Path) -> Path:
    (conf / "experiment" / "more.yaml").write_text(
        "# @package _global_\n# More\nsweep: {method: 'dense,streaming', task.length: 256, method.streaming.sinks: 2}\n"
        "also: [{method: dense, task: qa, task.length: 128}, {model: tiny2, method: sparse}]\n"
    )
    return conf


def test_an_experiment_can_have_further_sweeps_that_change_the_first(conf: Path) -> None:
    cells = compose(["experiment=more"], with_more(conf)).cells
    assert [(*summary(cell)[:3], cell.task.options["length"]) for cell in cells] == [
        ("tiny", "dense", "kv", 256),
        ("tiny", "streaming", "kv", 256),
        ("tiny", "dense", "qa", 128),
        ("tiny2", "sparse", "kv", 256),
    ]


def test_a_further_sweep_goes_where_the_command_line_sets_what_it_changes(conf: Path) -> None:
    cells = compose(["experiment=more", "model=tiny,tiny2"], with_more(conf)).cells
    assert [summary(cell)[:3] for cell in cells] == [
        *(("tiny", method, "kv") for method in ("dense", "streaming")),
        *(("tiny2", method, "kv") for method in ("dense", "streaming")),
        ("tiny", "dense", "qa"),
        ("tiny2", "dense", "qa"),
    ]
    assert len(compose(["experiment=more", "task=kv"], conf).cells) == 3
    assert len(compose(["experiment=more", "method.streaming.sinks=5"], conf).cells) == 4


def test_an_option_may_be_given_to_a_choice_of_any_sweep(conf: Path) -> None:
    cells = compose(["experiment=more", "method.sparse.pattern=b"], with_more(conf)).cells
    assert [cell.methods[0].options.get("pattern") for cell in cells] == [None, None, None, "b"]
    with pytest.raises(ScbenchError, match=r"model 'tiny' is not selected; model=tiny2"):
        compose(["experiment=more", "model=tiny2", "model.tiny.window=9"], conf)


@pytest.mark.parametrize("text", ["also: 3", "also: [3]", "sweeps: {}"])
def test_further_sweeps_that_are_none_are_refused(conf: Path, text: str) -> None:
    (conf / "experiment" / "bad.yaml").write_text(f"# @package _global_\nsweep: {{}}\n{text}\n")
    with pytest.raises(ScbenchError, match=r"conf/experiment/bad.yaml.*(must be a list of mappings|must hold)"):
        compose(["experiment=bad"], conf)


def test_the_command_line_replaces_the_experiments_value(conf: Path) -> None:
    (cell,) = compose(
        ["experiment=small", "mode=multi_turn", "method=streaming", "method.sinks=3", "budget=8"], conf
    ).cells
    assert (cell.methods[0].options["sinks"], cell.budget) == (3, 8)


def test_an_experiments_option_of_a_method_that_is_not_run_is_passed_over(conf: Path) -> None:
    assert {cell.method_name for cell in compose(["experiment=small", "method=sparse"], conf).cells} == {"sparse"}


@pytest.mark.parametrize(
    ("query", "mode", "resolved"),
    [
        ("auto", "multi_turn", "aware"),
        ("auto", "multi_request", "free"),
        ("free", "multi_turn", "free"),
        ("aware", "multi_request", "aware"),
    ],
)
def test_whether_the_cache_sees_the_question_depends_on_the_mode(
    conf: Path, query: str, mode: str, resolved: str
) -> None:
    (cell,) = compose([f"query={query}", f"mode={mode}"], conf).cells
    assert cell.query == resolved


def test_values_take_the_types_of_the_dataclass(conf: Path) -> None:
    (cell,) = compose(
        ["method=sparse", "method.layers=[3,4]", "method.pattern=7", "max_turns=2", "budget=1"], conf
    ).cells
    assert cell.methods[0].options == {"pattern": "7", "layers": [3, 4]}
    assert cell.methods[0].build().layers == (3, 4)
    assert cell.max_turns == 2
    assert cell.budget == 1 and isinstance(cell.budget, int)


def test_how_to_run_is_no_part_of_a_cell(conf: Path) -> None:
    how = ["run.save_ids=true", "run.retry=true", "run.threads=2", "results=elsewhere"]
    quiet, loud = compose([], conf), compose(how, conf)
    assert quiet.cells == loud.cells
    assert (quiet.run.threads, loud.run.save_ids, loud.run.retry, loud.run.threads) == (None, True, True, 2)
    with pytest.raises(ScbenchError, match=r"run\.threads=0 must be at least 1"):
        compose(["run.threads=0"], conf)


def test_every_file_is_composed_once(conf: Path) -> None:
    one = compose(["method=streaming"], conf).composes
    many = compose(["method=streaming", "method.sinks=range(0,50)", "budget=range(1,41)"], conf)
    assert len(many.cells) == 2000
    assert many.composes == one


def test_an_application_that_uses_hydra_keeps_its_own(conf: Path, tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app/config.yaml").write_text("mine: 1\n")
    with initialize_config_dir(version_base="1.3", config_dir=str(tmp_path / "app")):
        assert len(compose(["experiment=small"], conf).cells) == 4
        assert hydra_compose("config") == {"mine": 1}


def test_cells_survive_json(conf: Path) -> None:
    for cell in compose(["method=glob(*)", "budget=0.5,64,null,64MiB", "max_turns=all,2"], conf).cells:
        assert Cell.from_dict(json.loads(json.dumps(cell.to_dict()))) == cell


MISTAKES = {
    "modle=tiny": "'modle=tiny': there is no 'modle'; did you mean 'mode",
    "model=tinny": "'model=tinny': there is no model 'tinny'; did you mean 'tiny'?",
    "taks.length=3": "there is no 'taks.length'; did you mean 'task.length'?",
    "task.lenght=3": "task 'kv' has no option 'lenght'; did you mean 'length'?",
    "task.length=abc": "task.kv.length: Value 'abc' of type 'str' could not be converted to Integer",
    "task.length=null": "task.kv.length: Incompatible value 'None'",
    "task.qa.length=3": "task 'qa' is not selected; task=kv",
    "task.kvs.length=3": "there is no task 'kvs'; did you mean 'kv'?",
    "task.kv.lenght=3": "task.kv has no option 'lenght'; did you mean 'length'?",
    "method.sinks=4": "method 'dense' has no option 'sinks', only streaming, which is not selected",
    "method=dense,streaming method.sinks=4": "method 'dense' has no option 'sinks'; write method.streaming.sinks=",
    "method=streaming method.window=0": "method=streaming: window=0: expected at least 1",
    "method=[dense": "is not key=value in Hydra's grammar",
    "method": "'method' has no value: write key=value",
    "=dense": "is not of the form key=value",
    "task@kv=qa": "is not of the form key=value",
    "+method=dense": "keys cannot be added (+) or deleted (~)",
    "++task.x=1": "keys cannot be added (+) or deleted (~)",
    "~method": "keys cannot be added (+) or deleted (~)",
    "method=glob(x*)": "matches nothing",
    "method=null": "there is no method 'None'",
    "budget=interval(0,1)": "an interval has no list of values",
    "budget=1.5": "budget=1.5: expected tokens (1024), a share of the base (0.25), stored bytes (64MiB",
    "budget=0": "expected tokens",
    "history=godl": "history cannot be 'godl'; did you mean 'gold'?",
    "prompt_style=rf": "prompt_style cannot be 'rf'; did you mean 'ref'?",
    "query=awre": "query cannot be 'awre'; did you mean 'aware'?",
    "max_turns=0": "max_turns is 'all' or a number of turns of at least 1, not 0",
    "run.retry=maybe": "run.retry: Value 'maybe' is not a valid bool",
    "run.retyr=true": "did you mean 'run.retry'?",
    "run.retry=true,false": "'run.retry' takes one value, it cannot be swept",
    "results=a,b": "'results' takes one value, it cannot be swept",
    "experiment=smal": "there is no experiment 'smal'; did you mean 'small'?",
    "experiment=small,small": "'experiment' takes one value",
    "experiment=3": "an experiment is chosen by its name",
    "task=kv task=qa": "'task=qa': 'task' is given twice",
    "hydra.run.dir=x": "there is no 'hydra.run.dir'; known: ",
    "results=${nowhere}": "Interpolation key 'nowhere' not found",
}


@pytest.mark.parametrize(("overrides", "message"), MISTAKES.items())
def test_a_mistake_is_one_line_that_helps(conf: Path, overrides: str, message: str) -> None:
    with pytest.raises(ScbenchError) as caught:
        compose(overrides.split(), conf)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


FILES = {
    "method/odd.yaml": {
        "_target_: dummy_classes.Streaming\nsink: 3\n": "method.odd has no option 'sink'; did you mean 'sinks'?",
        "_target_: dummy_classes.Streaming\nsinks: x\n": "conf/method/odd.yaml: method.odd.sinks: Value 'x'",
        "_target_: dummy_classes.Streming\n": "_target_ 'dummy_classes.Streming' cannot be imported",
        "_target_: nowhere.Streaming\n": "_target_ 'nowhere.Streaming' cannot be imported: No module named 'nowhere'",
        "_target_: dummy_classes.ScbenchError\n": "is not a dataclass",
        "sinks: 3\n": "conf/method/odd.yaml has no _target_",
        "sinks: [3\n": "while parsing a flow sequence in ",
    },
    "mode/odd.yaml": {"_target_: dummy_classes.Mode\n": "Missing mandatory value: kind"},
    "experiment/odd.yaml": {
        "# @package _global_\nsweep: {method: [dense]}\n": "sweep.method must be a text or a number",
        "# @package _global_\nmethod: dense\n": "must hold '# @package _global_' and one mapping, 'sweep:'",
        "# @package _global_\nsweep: {metod: dense}\n": "odd.yaml: 'metod=dense': there is no 'metod'; did",
    },
}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [(name, text, message) for name, cases in FILES.items() for text, message in cases.items()],
)
def test_a_mistake_in_a_file_names_the_file(conf: Path, name: str, text: str, message: str) -> None:
    (conf / name).write_text(text)
    with pytest.raises(ScbenchError) as caught:
        compose([f"{name.partition('/')[0]}=odd"], conf)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_setting_in_the_root_file_is_a_mistake(conf: Path) -> None:
    root = conf / "config.yaml"
    root.write_text(root.read_text() + "histroy: gold\n")
    with pytest.raises(ScbenchError, match=r"has no option 'histroy'; did you mean 'history'\?"):
        compose([], conf)


@given(st.text(min_size=1, max_size=20))
def test_any_text_is_understood_or_refused(text: str) -> None:
    with suppress(ScbenchError):
        assignment = parse(text, NO_LOADER)
        assert assignment.key and assignment.values


@given(st.sampled_from(["method", "budget", "streaming_llm"]), st.integers(0, 12))
def test_a_dropped_letter_is_found_again(name: str, position: int) -> None:
    typo = name[: position % len(name)] + name[position % len(name) + 1 :]
    assert hint(typo, ["method", "budget", "streaming_llm"]) == f"did you mean '{name}'?"


def test_the_conf_folder_is_named_by_the_environment_or_lies_here(
    conf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCBENCH_CONF", str(conf))
    assert find_conf() == conf.resolve()
    monkeypatch.delenv("SCBENCH_CONF")
    monkeypatch.chdir(conf.parent)
    assert find_conf() == conf.resolve()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert find_conf() == CONF.resolve()
    monkeypatch.setenv("SCBENCH_CONF", str(tmp_path / "empty"))
    with pytest.raises(ScbenchError, match=r"SCBENCH_CONF=.*empty: has neither config\.yaml nor one of"):
        find_conf()


REAL = [(axis, name) for axis in AXES for name in names(CONF, axis)]


@pytest.mark.parametrize(("axis", "name"), REAL)
def test_a_file_of_an_axis_lists_exactly_its_dataclass(axis: str, name: str) -> None:
    with open_tree(CONF) as tree:
        node = dict(tree.node(axis, name, "test"))
    fields = {field.name for field in dataclasses.fields(load_class(node.pop("_target_")))}
    assert set(node) - {"presets"} == fields
    assert describe(CONF, axis, name), "the first comment line says what the choice is"


def test_every_model_is_in_the_documentation() -> None:
    text = (ROOT / "docs" / "add-a-model.md").read_text(encoding="utf-8")
    assert [name for name in names(CONF, "model") if f"`{name}`" not in text] == []


@pytest.mark.parametrize("name", names(CONF, "experiment"))
def test_an_experiment_of_the_repository_composes(name: str) -> None:
    assert compose([f"experiment={name}"], CONF).cells
    assert describe(CONF, "experiment", name)


def test_the_demo_has_the_twelve_tasks_of_scbench() -> None:
    tasks = {cell.task.name for cell in compose(["experiment=demo"], CONF).cells}
    known = {cell.task.name: cell.task.type for cell in compose(["task=glob(*)"], CONF).cells}
    assert tasks == {name for name, task in known.items() if task.part_of_scbench}
    assert len(tasks) == 12


def test_the_paper_is_eight_models_twelve_tasks_and_two_modes() -> None:
    cells = compose(["experiment=paper"], CONF).cells
    by_model = {cell.model.name: {other.method_name for other in cells if other.model == cell.model} for cell in cells}
    assert len(by_model) == 8
    assert {name for name, methods in by_model.items() if methods == {"dense"}} == {
        "codestral_mamba_7b",
        "jamba_1_5_mini",
    }
    assert len(cells) == sum(map(len, by_model.values())) * 12 * 2
    settings = {(c.prompt_style, c.fit, c.history, c.compress, c.max_turns, c.budget) for c in cells}
    assert settings == {("ref", "middle", "gold", "once", 5, None)}
    assert {c.model.options["window"] for c in cells} == {131_072}
    assert {c.model.options["rope"] for c in cells} == {None}
    tables = {c.model.name: m.options["table"] for c in cells for m in c.methods if m.name == "minference"}
    assert tables == {name: name for name, methods in by_model.items() if methods != {"dense"}}
    assert {c.task.options["data"].partition("@")[0] for c in cells} == {"hub"}


def test_the_root_file_lists_exactly_the_shared_settings() -> None:
    with open_tree(CONF) as tree:
        settings = tree.root[1]
    assert set(settings) == {field.name for field in dataclasses.fields(SharedConfig)} | {"run", "preset"}


def test_all_choices_of_the_repository_compose_at_once() -> None:
    """For our own engine; the others refuse most methods."""
    axes = [axis for axis in AXES if axis != "engine"]
    composition = compose([f"{axis}=glob(*)" for axis in axes], CONF)
    assert len(composition.cells) == math.prod(len(names(CONF, axis)) for axis in axes)
    assert composition.composes == sum(axis != "engine" for axis, _ in REAL) + 2  # and own, and config.yaml


def test_a_choice_builds_its_class() -> None:
    assert Choice("s", "dummy_classes.Streaming", {"sinks": 1, "window": 2}).build().window == 2
