"""Fingerprints, families and manifests: what changes a name, and what does not."""

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scbench.config.cell import Cell, Choice
from scbench.config.compose import compose
from scbench.errors import ScbenchError
from scbench.grid import hashes as hashes_module
from scbench.grid.cells import canonical, digest, family_id, fingerprint, named, source_id
from scbench.grid.hashes import Hashes, data_hash, source_hash
from scbench.grid.manifest import Manifest
from scbench.grid.plan import ensure, locate, plan

TASK = {"length": 64, "limit": 2, "seed": 0, "turns": 3, "max_new_tokens": 4, "data": None}
CELL = Cell(
    model=Choice("tiny", "scbench.models.model.ModelConfig", {"path": "./tiny"}),
    methods=(Choice("streaming", "dummy_classes.Streaming", {"sinks": 4, "window": 64}),),
    task=Choice("kv", "dummy_classes.Task", TASK),
    mode=Choice("multi_turn", "dummy_classes.Mode", {"kind": "multi_turn"}),
    engine=Choice("own", "dummy_classes.Engine", {"device": "cpu", "chunk": 128}),
    budget=0.25,
    history="gold",
    query="aware",
    max_turns=None,
)
HASHES = {
    "engine": 1,
    "methods": ["m"],
    "prompts": "p",
    "task": "t",
    "sessions": "s",
    "data": None,
    "model": {"weights": "w"},
}


def with_option(cell: Cell, axis: str, **options: object) -> Cell:
    choice = cell.methods[0] if axis == "method" else getattr(cell, axis)
    changed = dataclasses.replace(choice, options={**choice.options, **options})
    return dataclasses.replace(cell, **({"methods": (changed,)} if axis == "method" else {axis: changed}))


REQUEST = Choice("multi_request", "dummy_classes.Mode", {"kind": "multi_request"})
DENSE = Choice("dense", "dummy_classes.Dense", {})
SPARSE = Choice("sparse", "dummy_classes.Sparse", {"pattern": "a", "layers": [0]})


@pytest.mark.parametrize(
    "changed",
    [
        with_option(CELL, "method", sinks=5),
        with_option(CELL, "task", length=65),
        with_option(CELL, "task", seed=1),
        with_option(CELL, "task", turns=2),
        with_option(CELL, "engine", device="cuda"),
        with_option(CELL, "model", path="./other"),
        dataclasses.replace(CELL, mode=REQUEST),
        dataclasses.replace(CELL, budget=64),
        dataclasses.replace(CELL, history="generated"),
        dataclasses.replace(CELL, query="free"),
        dataclasses.replace(CELL, prompt_style="ref"),
        dataclasses.replace(CELL, max_turns=2),
        dataclasses.replace(CELL, fit="middle"),
    ],
)
def test_what_can_change_a_number_changes_the_fingerprint(changed: Cell) -> None:
    assert fingerprint(changed, HASHES) != fingerprint(CELL, HASHES)


@pytest.mark.parametrize("key", HASHES)
def test_every_hash_is_part_of_the_fingerprint(key: str) -> None:
    assert fingerprint(CELL, {**HASHES, key: "other"}) != fingerprint(CELL, HASHES)


@pytest.mark.parametrize(
    "changed",
    [
        with_option(CELL, "task", limit=50),
        with_option(CELL, "task", data="x"),
        with_option(CELL, "engine", chunk=1),
        with_option(CELL, "model", parallel=2),
    ],
)
def test_what_cannot_change_a_number_leaves_the_fingerprint(changed: Cell) -> None:
    assert fingerprint(changed, HASHES) == fingerprint(CELL, HASHES)


def test_how_many_devices_is_a_number_of_its_own_where_an_engine_sums_over_them() -> None:
    summing = dataclasses.replace(CELL, engine=dataclasses.replace(CELL.engine, target="dummy_classes.SummingEngine"))
    assert fingerprint(with_option(summing, "model", parallel=2), HASHES) != fingerprint(summing, HASHES)


def test_the_fingerprint_is_this_one_on_every_machine() -> None:
    text = json.dumps(
        {
            "cell": {
                **CELL.to_dict(),
                "task": {
                    **CELL.task.to_dict(),
                    "options": {k: v for k, v in TASK.items() if k not in ("limit", "data")},
                },
                "engine": {**CELL.engine.to_dict(), "options": {"device": "cpu"}},
            },
            "hashes": HASHES,
        },
        sort_keys=True,
        separators=(",", ":"),
    )
    import hashlib

    assert fingerprint(CELL, HASHES) == hashlib.sha256(text.encode()).hexdigest()[:16]


@given(st.permutations(sorted(TASK)))
def test_the_order_of_options_does_not_matter(keys: list[str]) -> None:
    shuffled = dataclasses.replace(CELL, task=dataclasses.replace(CELL.task, options={key: TASK[key] for key in keys}))
    assert fingerprint(shuffled, HASHES) == fingerprint(CELL, HASHES)


def test_settings_without_effect_are_neutral() -> None:
    assert canonical(CELL) == CELL
    assert canonical(dataclasses.replace(CELL, methods=(DENSE,))).budget is None
    assert canonical(dataclasses.replace(CELL, methods=(DENSE, *CELL.methods))).budget == 0.25
    generated = dataclasses.replace(CELL, history="generated")
    assert canonical(generated).history == "generated"
    assert canonical(dataclasses.replace(generated, mode=REQUEST)).history == "gold"
    assert canonical(dataclasses.replace(CELL, fit="middle")).fit == "middle"
    plain = dataclasses.replace(CELL.task, target="dummy_classes.TaskWithoutItems")
    assert canonical(dataclasses.replace(CELL, task=plain, fit="middle")).fit == "whole"


def test_a_question_in_the_cache_matters_to_methods_that_act_on_it_or_look_at_it() -> None:
    def query(method: Choice, mode: Choice, value: str) -> str:
        return canonical(dataclasses.replace(CELL, methods=(method,), mode=mode, query=value)).query

    streaming = CELL.methods[0]
    for asked in ("aware", "free"):
        assert query(streaming, CELL.mode, asked) == asked
        assert query(DENSE, CELL.mode, asked) == "aware"
        assert query(streaming, REQUEST, asked) == query(DENSE, REQUEST, asked) == "free"
        assert query(SPARSE, REQUEST, asked) == asked


def test_published_data_has_its_own_length_and_turns() -> None:
    one = with_option(CELL, "task", data="data.jsonl", length=1, seed=2, turns=3)
    other = with_option(CELL, "task", data="data.jsonl", length=4, seed=5, turns=6)
    assert canonical(one) == canonical(other)
    assert canonical(with_option(one, "task", max_new_tokens=1)) != canonical(one)


def test_equal_cells_are_named_once_and_in_order() -> None:
    dense = canonical(dataclasses.replace(CELL, methods=(DENSE,)))
    cells = named([(CELL, HASHES), (dense, HASHES), (CELL, HASHES)])
    assert list(cells.values()) == [CELL, dense]


def test_cells_that_differ_in_nothing_that_matters_are_a_mistake() -> None:
    with pytest.raises(
        ScbenchError, match=r"two cells of streaming on kv differ only in options that change no number"
    ):
        named([(CELL, HASHES), (with_option(CELL, "task", limit=3), HASHES)])


def test_a_family_shares_its_prefill() -> None:
    same = [
        dataclasses.replace(CELL, methods=(DENSE,)),
        dataclasses.replace(CELL, mode=REQUEST, query="free"),
        dataclasses.replace(CELL, budget=8),
    ]
    other = [
        dataclasses.replace(CELL, methods=(SPARSE,)),
        dataclasses.replace(CELL, history="generated"),
        dataclasses.replace(CELL, max_turns=1),
        dataclasses.replace(CELL, fit="middle"),
        with_option(CELL, "task", limit=9),
        with_option(CELL, "model", path="./other"),
        with_option(CELL, "engine", device="cuda"),
    ]
    assert {family_id(cell) for cell in same} == {family_id(CELL)}
    assert len({family_id(cell) for cell in (CELL, *other)}) == len(other) + 1


def test_sessions_depend_on_task_and_tokenizer_alone() -> None:
    assert source_id(dataclasses.replace(CELL, methods=(DENSE,), budget=1), HASHES) == source_id(CELL, HASHES)
    assert source_id(with_option(CELL, "task", limit=3), HASHES) != source_id(CELL, HASHES)
    assert source_id(CELL, {**HASHES, "model": {"weights": "x"}}) != source_id(CELL, HASHES)


def test_a_plan_groups_cells_into_families_and_sources(conf: Path) -> None:
    manifest = plan(["method=dense,streaming,sparse", "mode=glob(*)", "task=kv,qa", "budget=0.25,0.5"], conf)
    # dense and sparse have no budget: 3 + 1 methods × budgets, 2 modes, 2 tasks
    assert len(manifest.cells) == 4 * 2 * 2
    assert sorted(len(family.cells) for family in manifest.families) == [2, 2, 6, 6]
    assert len(manifest.sources) == 2
    assert sorted(name for family in manifest.families for name in family.cells) == sorted(manifest.cells)


def test_a_method_added_to_a_sweep_keeps_the_other_names(conf: Path) -> None:
    few, more = plan(["method=dense"], conf), plan(["method=dense,streaming"], conf)
    assert set(few.cells) < set(more.cells)
    assert [family.id for family in few.families] == [family.id for family in more.families]


def test_a_manifest_survives_the_disk(conf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    manifest = ensure(["experiment=small", "run.save_ids=true", "results=out"], conf)
    assert manifest.path == Path("out/small/manifest.json")
    assert Manifest.read(manifest.path) == manifest
    assert manifest.run.save_ids
    assert manifest.family(manifest.families[0].id) is manifest.families[0]
    with pytest.raises(ScbenchError, match="has no family nope; known: "):
        manifest.family("nope")


@pytest.mark.parametrize("text", [None, "{", "{}", "[]", '{"cells": 3}'])
def test_a_file_that_is_no_manifest_is_named(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "manifest.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ScbenchError, match=r"manifest\.json"):
        Manifest.read(path)


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        (["experiment=small"], "small"),
        (["experiment=small", "run.retry=true", "results=results"], "small"),
        (["experiment=small", "method=dense"], "small-" + digest(["method=dense"], 8)),
        (["method=dense", "budget=1"], "sweep-" + digest(["budget=1", "method=dense"], 8)),
        (["budget=1", "method=dense"], "sweep-" + digest(["budget=1", "method=dense"], 8)),
    ],
)
def test_a_sweep_has_a_name(conf: Path, overrides: list[str], name: str) -> None:
    assert locate(overrides, conf) == Path("results") / name / "manifest.json"


Edit = Callable[[Path], object]


@pytest.fixture
def planned(conf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """Says whether planning again had to compose."""
    monkeypatch.chdir(tmp_path)
    ensure(["experiment=small"], conf)

    def again() -> bool:
        calls = []
        monkeypatch.setattr("scbench.grid.plan.compose", lambda *args: calls.append(args) or compose(*args))
        ensure(["experiment=small"], conf)
        return bool(calls)

    return again


def test_an_unchanged_plan_is_read(planned: Callable[[], bool]) -> None:
    assert not planned()


@pytest.mark.parametrize(
    "edit",
    [
        lambda root: (root / "conf/method/streaming.yaml").open("a").write("# changed\n"),
        lambda root: (root / "conf/method/new.yaml").write_text("_target_: dummy_classes.Dense\n"),
        lambda root: (root / "weights/tiny/tokenizer.json").write_text("another"),
        lambda root: (root / "results/small/manifest.json").write_text("{}"),
        lambda root: (root / "results/small/manifest.json").unlink(),
    ],
)
def test_a_change_plans_anew(planned: Callable[[], bool], tmp_path: Path, edit: Edit) -> None:
    edit(tmp_path)
    assert planned()
    assert not planned()


def test_a_large_sweep_composes_files_not_cells(conf: Path) -> None:
    overrides = ["method=streaming", "method.sinks=range(0,50)", "budget=range(1,11)", "task=kv,qa", "mode=glob(*)"]
    manifest = plan(overrides, conf)
    assert len(manifest.cells) == 2000
    assert compose(overrides, conf).composes == 1 + 1 + 1 + 2 + 2 + 1  # config.yaml, and each choice of each axis


def test_a_model_that_is_not_there_does_not_stop_the_plan(conf: Path) -> None:
    manifest = plan(["model=tiny,tiny2", "model.tiny2.path=./nowhere"], conf)
    missing = [hashes["model"] for hashes in manifest.hashes.values() if "missing" in hashes["model"]]
    assert len(manifest.cells) == 2
    assert missing == [{"missing": "model.path=./nowhere: no such folder"}]


def test_data_is_named_by_its_content(tmp_path: Path) -> None:
    one, other, folder = tmp_path / "one.jsonl", tmp_path / "other.jsonl", tmp_path / "folder"
    one.write_text("a")
    other.write_text("a")

    def named(path: Path) -> str | dict[str, str]:
        return data_hash(str(path), "kv")

    assert named(one) == named(other)
    other.write_text("b")
    assert named(one) != named(other)
    folder.mkdir()
    assert "holds none of kv.jsonl" in named(folder)["missing"]
    (folder / "qa.jsonl").write_text("b")
    (folder / "kv.jsonl").write_text("a")
    assert named(folder) == named(one), "the files of other tasks do not count"
    (folder / "kv.jsonl").rename(folder / "kv.parquet")
    (folder / "kv.parquet").write_text("c")
    assert named(folder) not in (named(one), named(other))
    assert "nowhere" in named(tmp_path / "nowhere")["missing"]


def test_data_on_the_hub_is_named_by_its_commit() -> None:
    commit = "0123456789abcdef" * 2 + "01234567"
    assert data_hash(f"hub@{commit}", "kv") == {"hub": "microsoft/SCBench", "revision": commit}
    assert data_hash(f"hub:a/b@{commit}", "kv") == {"hub": "a/b", "revision": commit}
    assert "needs the commit" in data_hash("hub:a/b@main", "kv")["missing"]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's package: `method` imports `helper` and, relatively, `deeper`; `stranger` is imported by nobody."""
    folder = tmp_path / "userpackage"
    (folder / "inner").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "inner/__init__.py").write_text("from . import deeper\n")
    (folder / "inner/deeper.py").write_text("X = 1\n")
    (folder / "helper.py").write_text("import json\n")
    (folder / "stranger.py").write_text("")
    (folder / "method.py").write_text("from userpackage import helper\nfrom .inner import deeper\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


@pytest.mark.parametrize("name", ["method.py", "helper.py", "inner/deeper.py", "inner/__init__.py", "__init__.py"])
def test_a_method_is_named_by_what_it_imports(package: Path, name: str) -> None:
    before = source_hash("userpackage.method")
    (package / name).write_text((package / name).read_text() + "\n# changed\n")
    assert source_hash("userpackage.method") != before


def test_a_method_is_not_named_by_what_it_does_not_import(package: Path) -> None:
    before = source_hash("userpackage.method")
    (package / "stranger.py").write_text("# changed\n")
    assert source_hash("userpackage.method") == before
    assert "userpackage" not in sys.modules, "sources are read, not imported"


def test_a_source_that_cannot_be_found_is_named() -> None:
    with pytest.raises(ScbenchError, match=r"the source of module nowhere\.method cannot be found"):
        source_hash("nowhere.method")


def test_methods_of_the_package_are_named_by_their_part_of_it() -> None:
    files = hashes_module._closure("scbench.methods.compression.streaming_llm", "scbench.methods")
    assert "scbench.methods.base" in files
    assert not any(name.startswith("scbench.segments") for name in files)


def test_how_sessions_are_made_is_part_of_every_name(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cell,) = compose(["task=kv"], conf).cells
    files = hashes_module._closure("scbench.tasks.sessions", "scbench.tasks")
    assert {"scbench.tasks.floor", "scbench.tasks.published", "scbench.tasks.base"} <= set(files)
    before = Hashes().of_sessions(cell)
    monkeypatch.setattr("scbench.grid.hashes.source_hash", lambda module: f"changed {module}")
    assert Hashes().of_sessions(cell)["sessions"] == "changed scbench.tasks.sessions" != before["sessions"]


def test_what_generated_sessions_are_made_of_is_part_of_every_name(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generated, published = (compose(["task=kv", *more], conf).cells[0] for more in ([], ["task.data=none.jsonl"]))
    before = Hashes().of_sessions(generated), Hashes().of_sessions(published)
    monkeypatch.setattr("dummy_classes.Task.ingredients", lambda: "rich 99")
    assert Hashes().of_sessions(generated) == {**before[0], "ingredients": "rich 99"} != before[0]
    assert Hashes().of_sessions(published) == before[1]


def test_hashes_read_each_file_once(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    monkeypatch.setattr("scbench.grid.hashes.source_hash", lambda module: read.append(module) or module)
    hashes = Hashes()
    for cell in compose(["method=dense,streaming", "task=kv,qa", "budget=1,2"], conf).cells:
        hashes.of(cell)
    assert read == ["dummy_classes", "scbench.tasks.sessions"]


def test_the_originals_prompts_make_each_mode_a_family() -> None:
    turns = dataclasses.replace(CELL, prompt_style="ref")
    assert family_id(turns) != family_id(CELL)
    assert family_id(turns) != family_id(dataclasses.replace(turns, mode=REQUEST))
    assert family_id(CELL) == family_id(dataclasses.replace(CELL, mode=REQUEST))
    assert Cell.from_dict(turns.to_dict()) == turns


def test_of_a_methods_file_only_the_content_counts(tmp_path: Path) -> None:
    def name(file: Path, kind: str) -> str:
        file.write_text(json.dumps({"patterns": [[kind, 4, 60]], "heads": [[0, 0]]}))
        options = {"vertical": 512, "slash": 2048, "table": str(file)}
        method = Choice("minference", "scbench.methods.generation.minference.MInference", options)
        cell = dataclasses.replace(CELL, methods=(method,))
        return fingerprint(cell, Hashes().of(cell))

    one = name(tmp_path / "one.json", "stream_llm")
    assert name(tmp_path / "other.json", "stream_llm") == one
    assert name(tmp_path / "one.json", "vertical_and_slash") != one
    plain = with_option(CELL, "method")
    assert Hashes().of(plain)["contents"] == [{}]


def test_a_bundle_holds_all_prefills_of_one_text() -> None:
    sparse = dataclasses.replace(CELL, methods=(SPARSE,))
    rewriting = Choice("shorter", "scbench.methods.generation.llmlingua2.LLMLingua2", {})
    shortened = dataclasses.replace(CELL, methods=(rewriting,))
    apart = {family_id(cell) for cell in (CELL, sparse, shortened)}
    assert len(apart) == 3
    assert family_id(sparse, bundle=True) == family_id(CELL, bundle=True)
    assert family_id(shortened, bundle=True) != family_id(CELL, bundle=True)
    assert family_id(with_option(CELL, "task", length=65), bundle=True) != family_id(CELL, bundle=True)
