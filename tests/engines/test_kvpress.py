"""kvpress in its own interpreter: against our own engine, against its own pipeline, and press by press."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from scbench import evaluate
from scbench.config.compose import compose
from scbench.methods.kvpress.presses import PRESSES
from scbench.models import embedded
from scbench.pages import presses
from scbench.results.store import CellStore
from tiny_folder import write_tiny

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-kvpress" / "bin" / "python"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.venv,
    pytest.mark.skipif(not PYTHON.is_file(), reason="no .venv-kvpress here: make test-kvpress installs kvpress"),
]
KVPRESS = ("engine=kvpress", f"engine.python={PYTHON}")
BOTH = "mode=multi_turn,multi_request"
BUDGET, SINKS, WINDOW, KERNEL = 160, 4, 16, 5
OURS = (  # in the definitions of kvpress (docs/differences_kvpress.md)
    "method=streaming_llm,snapkv",
    f"method.streaming_llm.sinks={SINKS}",
    f"method.streaming_llm.window={BUDGET - SINKS}",
    f"method.snapkv.window={WINDOW}",
    f"method.snapkv.kernel={KERNEL}",
    "method.snapkv.group=mean",
    "method.protect=false",
)
THEIRS = (
    "method=StreamingLLMPress,SnapKVPress",
    f"method.StreamingLLMPress.n_sink={SINKS}",
    f"method.SnapKVPress.window_size={WINDOW}",
    f"method.SnapKVPress.kernel_size={KERNEL}",
)
PAIRS = {"streaming_llm": "StreamingLLMPress (dropped)", "snapkv": "SnapKVPress (dropped)"}
RAGGED = {"KVComposePress", "PerLayerCompressionPress", "PyramidKVPress"}  # kvpress itself cannot ask them anything
ACTIVE = {name for name, press in PRESSES.items() if press.mark == "dropped while decoding"} | {"PrefillDecodingPress"}


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def told(*names):
    """The overrides that select presses with options with which they do something."""
    options = (f"method.{name}.{option}" for name in names for option in presses.EXAMPLES.get(name, ()))
    return [f"method={','.join(names)}", *options]


def answered(results, *overrides):
    """The records of a sweep, by method, mode, session and turn."""
    scores = evaluate(f"results={results}", "run.save_ids=true", *overrides)
    found = {}
    for (cell, method, mode), _ in scores.groupby(["cell", "method", "mode"]):
        records = CellStore(Path(results), cell).read()
        found.update({(method, mode, record.session, record.turn): record for record in records})
    return found


def test_presses_and_their_options_are_those_of_kvpress():
    script = (
        "import inspect, json, kvpress_presses as p; empty = inspect.Parameter.empty; print(json.dumps({name: "
        "{key: None if one.default is empty or not isinstance(one.default, (int, float, str)) else one.default "
        "for key, one in inspect.signature(press).parameters.items()} for name, press in p.PRESSES.items()}))"
    )
    workers = ROOT / "src" / "scbench" / "engines" / "workers"
    done = subprocess.run([PYTHON, "-c", script], cwd=workers, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert set(found) - set(PRESSES) == {"BasePress", "ScorerPress"}  # what the others are made from
    for name, press in PRESSES.items():
        options = {key: value for key, value in found[name].items() if not key.startswith("_")}
        assert press.defaults() == options, name


@pytest.mark.parametrize("model", ["random", "tiny_llama", "smollm2_135m"])
@pytest.mark.parametrize("history", ["gold", "generated"])
def test_streaming_llm_and_snapkv_answer_as_those_of_our_own_engine(model, history, tmp_path):
    if model == "smollm2_135m" and history == "generated":
        pytest.skip("what the other models do not show of this takes too long")
    chosen = f"model.path={write_tiny(tmp_path / 'tiny')}" if model == "random" else f"model={model}"
    length, sessions = (400, 2) if model == "smollm2_135m" else (900, 4)
    task = ["task=retr_kv", f"task.length={length}", f"task.limit={sessions}", "task.turns=3", "task.max_new_tokens=12"]
    given = [chosen, BOTH, f"history={history}", f"budget={BUDGET}", "engine.device=cpu", *task]
    ours = answered(tmp_path, *given, *OURS)
    theirs = answered(tmp_path, *given, *KVPRESS, *THEIRS)
    assert len(ours) == len(theirs) == 2 * 2 * sessions * 3
    for (method, *where), one in ours.items():
        other = theirs[PAIRS[method], *where]
        assert one.outcome == other.outcome == "ok"
        assert other.prompt_ids == one.prompt_ids
        assert other.output_ids == one.output_ids, (method, where)
        assert (other.kept, other.stopped) == (one.kept, one.stopped)
        assert other.serving.form == "dropped" and other.prompt_visible == one.prompt_visible
        same = ("dense", "nominal", "touched")
        assert [getattr(other.kv_bytes, size) for size in same] == [getattr(one.kv_bytes, size) for size in same]
        assert other.kv_bytes.stored <= one.kv_bytes.stored  # which knows where its tokens were
    assert len({one.output_ids for one in theirs.values()}) > 3


@pytest.mark.parametrize("model", ["random", "tiny_llama"])
def test_every_press_answers_as_in_kvpress_itself(model, tmp_path):
    """Where kvpress can: it has no mask for layers of several lengths, and its fake keys fail for random queries."""
    path = write_tiny(tmp_path / "tiny") if model == "random" else embedded.ensure("embedded:tiny-llama")
    cells = compose(["engine=kvpress", *told(*PRESSES)], ROOT / "conf").cells
    layers = 3 if model == "random" else 5
    examples = {}
    for cell in cells:
        options = dict(cell.methods[0].options)
        if "compression_ratios" in options:
            options["compression_ratios"] = options["compression_ratios"][:layers]
        examples[cell.method_name] = [options, 150 if cell.methods[0].type.uses_budget else None]
    script = Path(__file__).with_name("kvpress_alone.py")
    done = subprocess.run([PYTHON, script, path, json.dumps(examples)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    equal = set()
    for name in PRESSES:
        ours, theirs, again = (found[name][who] for who in ("ours", "theirs", "again"))
        if PRESSES[name].needs:
            assert re.match(
                r"(OSError|KeyError|AssertionError|RuntimeError|ValueError|LocalEntryNotFoundError): ", ours
            )
        elif name == "FinchPress":
            assert ours.startswith("Refused: FinchPress chooses by the question")
        else:
            assert [len(answer) for answer in ours] == [10, 10], name
            assert name in ACTIVE or again == ours, name  # as far as passes of the model are not counted
            if isinstance(theirs, list):
                assert theirs == ours, name
                equal.add(name)
            else:
                masked = "Could not find fake keys" in theirs and PRESSES[name].mark == "masked"
                assert masked or (name in RAGGED and "must match the size of tensor" in theirs), (name, theirs)
    runnable = {name for name, press in PRESSES.items() if not press.needs} - {"FinchPress"}
    masked = {name for name in runnable if PRESSES[name].mark == "masked"}
    assert runnable - equal <= RAGGED | (masked if model == "random" else set())
    assert len(equal) >= (27 if model == "random" else 33)


def test_every_press_on_a_small_cell_is_what_the_documentation_says(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    page = (ROOT / "docs" / "kvpress.md").read_text(encoding="utf-8")
    documented = page.partition(presses.BEGIN)[2].partition(presses.END)[0]
    assert presses.table(presses.found(tmp_path, str(PYTHON))) == documented


def test_all_tasks_in_both_modes(tmp_path):
    names = ("SnapKVPress", "KVzipPress")
    small = ["task.length=1024", "task.limit=1", "task.turns=2", "task.max_new_tokens=4"]
    given = ["model=tiny_llama", BOTH, "budget=0.5", "task=glob(*)", "engine.device=cpu", *small]
    found = evaluate(*given, *KVPRESS, *told(*names), f"results={tmp_path}")
    tasks = found.groupby("task")
    assert len(tasks) == 13
    for task, rows in tasks:
        assert set(rows.outcome) <= {"ok", "truncated"}, (task, set(rows.outcome))
        assert len(rows.groupby(["method", "mode"])) == 2 * len(names)
        stored = (rows.kv_stored / rows.kv_dense).groupby(rows.method).max()
        assert stored["SnapKVPress (dropped)"] < 0.9 and stored["KVzipPress (masked)"] > 1


def test_what_a_press_cannot_do_is_an_outcome_with_its_reason(tmp_path):
    """And the worker goes on with the next cell."""
    wrong = {
        "SnapKVPress": ("window_size=5000", "should be greater than the window size 5000"),
        "KVComposePress": ("structured=false", "tokens in the cache of a base of"),
        "ChunkPress": ("press={AdaKVPress: {press: KnormPress}}", "ChunkPress requires a ScorerPress as input"),
        "ComposedPress": ("presses=[{KeyRerotationPress: {press: KnormPress}}]", "works only as the outermost press"),
    }
    options = [f"method.{name}.{option}" for name, (option, _) in wrong.items()]
    given = ["model=tiny_llama", BOTH, "task=retr_kv", "task.length=300", "task.limit=1", "task.turns=2", "budget=0.5"]
    found = answered(tmp_path, *given, *KVPRESS, f"method={','.join(wrong)},TOVAPress", *options)
    assert len(found) == 5 * 2 * 2
    for (method, *_), record in found.items():
        name = method.split()[0]
        if name == "TOVAPress":
            assert record.outcome == "ok"
        else:
            assert record.outcome == "error" and wrong[name][1] in record.detail, (name, record.detail)


def test_a_budget_that_covers_the_base_is_no_work(tmp_path):
    given = ["model=tiny_llama", "task=retr_kv", "task.length=300", "task.limit=1", "task.turns=2", "budget=5000"]
    found = answered(tmp_path, *given, *KVPRESS, *told("SnapKVPress", "AdaKVPress", "DecodingPress"))
    assert {(method.split()[0], record.outcome.value) for (method, *_), record in found.items()} == {
        ("SnapKVPress", "noop"),
        ("AdaKVPress", "noop"),
        ("DecodingPress", "noop"),
    }


def test_a_model_that_kvpress_does_not_know_is_refused(tmp_path):
    scores = evaluate(
        *KVPRESS,
        "model=random_mamba2",
        "method=TOVAPress",
        "task=retr_kv",
        "task.length=300",
        "task.limit=1",
        f"results={tmp_path}",
    )
    assert scores.empty
