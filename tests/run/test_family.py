"""A family from configuration to records, on a tiny model in a folder: what is computed, kept, recorded, refused."""

import json
import re
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import scbench
from oracles import tiny
from scbench.engine.answer import Decoder
from scbench.errors import ScbenchError
from scbench.grid.plan import plan
from scbench.record import Outcome
from scbench.results.store import CellStore
from scbench.run import loading
from scbench.run.family import run_family
from scbench.run.local import run_here, write_sessions
from scbench.run.progress import NullProgress

CONF = Path(__file__).parents[2] / "conf"
SMALL = ["task=retr_kv", "task.length=1000", "task.limit=2", "task.turns=2", "task.max_new_tokens=6"]
CELLS = ["method=dense,streaming_llm", "mode=multi_turn,multi_request", "budget=0.25"]


@pytest.fixture
def sweep(folder, tmp_path):
    """Plan overrides over the repository's own configuration, in a results folder of the test's own."""

    def planned(*overrides):
        given = {override.split("=")[0] for override in overrides}
        base = [f"model.path={folder}", f"results={tmp_path / 'results'}", *SMALL]
        manifest = plan([*(item for item in base if item.split("=")[0] not in given), *overrides], CONF)
        manifest.write()
        for source in manifest.sources:
            write_sessions(manifest, source)
        return manifest

    return planned


def run(manifest):
    return {family.id: run_family(manifest.path, family.id, NullProgress()).cells for family in manifest.families}


def records(manifest):
    """All records by (method, mode), in order."""
    return {
        (cell.method_name, cell.mode.name): CellStore(manifest.root, name).read()
        for name, cell in manifest.cells.items()
    }


def test_every_turn_is_recorded_and_can_be_replayed_on_another_engine(sweep, folder):
    manifest = sweep(*CELLS, "run.save_ids=true")
    (cells,) = run(manifest).values()
    assert set(cells) == set(manifest.cells)
    assert all(counts == {"sessions": 2, "computed": 2, "outcomes": {"ok": 4}} for counts in cells.values())
    peer = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    found = records(manifest)
    for (method, mode), lines in found.items():
        assert [(r.session, r.turn) for r in lines] == [(f"s0-000{s}", t) for s in range(2) for t in range(2)]
        for record in lines:
            assert record.prompt_tokens == len(record.prompt_ids)
            assert {"prefill", "compress", "decode"} <= set(record.peak_bytes)
            assert record.fidelity.tokens > 0 and record.fidelity.log_likelihood < 0
            assert record.gold_kept == 1.0 if method == "dense" else 0 <= record.gold_kept <= 1
            assert record.fidelity.kl_to_dense == 0 if method == "dense" else record.fidelity.kl_to_dense > 0
            assert record.prediction == tokenizer.decode(record.output_ids, skip_special_tokens=True)
            if method == "dense":
                replayed = peer.generate(
                    torch.tensor([record.prompt_ids]), max_new_tokens=6, do_sample=False, pad_token_id=0
                )[0, record.prompt_tokens :].tolist()
                stopped = replayed[-1] in peer.config.eos_token_id
                assert list(record.output_ids) == (replayed[:-1] if stopped else replayed)
                assert record.stopped == ("stop" if stopped else "length")
            assert (
                record.prompt_visible
                == {
                    ("dense", "multi_turn"): "",
                    ("dense", "multi_request"): "",
                    ("streaming_llm", "multi_turn"): "context+q1",
                    ("streaming_llm", "multi_request"): "context",
                }[method, mode]
            )
            assert record.provenance["scbench"] == scbench.__version__
    shared = found["dense", "multi_request"][0].prompt_ids
    assert found["dense", "multi_turn"][0].prompt_ids == shared, "the first prompt is the same in both modes"
    kept = {len(set(r.kept)) == 1 and r.kept[0] / r.prompt_tokens for r in found["streaming_llm", "multi_turn"][::2]}
    assert all(0.24 < share <= 0.25 for share in kept)


def test_the_share_of_the_right_answer_that_is_kept_is_recorded(sweep, folder):
    manifest = sweep("method=streaming_llm", "method.sinks=100", "method.window=300", CELLS[1], "run.save_ids=true")
    run(manifest)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    shares = []
    for mode in ("multi_turn", "multi_request"):
        for record in records(manifest)["streaming_llm", mode]:
            text, base = tokenizer.decode(record.prompt_ids), record.prompt_tokens
            start = text.index(record.gold)
            answer = {
                len(tokenizer.encode(text[: place + 1], add_special_tokens=False)) - 1
                for place in range(start, start + len(record.gold))
            }
            dropped = base - record.kept[0]  # a stretch behind the first tokens
            if mode == "multi_request":  # whose question is not in the cache, but read behind it
                question = text.rindex("\n\n")
                dropped -= base - len(tokenizer.encode(text[:question], add_special_tokens=False))
            kept = sum(not 100 <= place < 100 + dropped for place in answer) / len(answer)
            shares.append(kept)
            assert record.gold_kept == pytest.approx(kept, abs=1.5 / len(answer))
    assert 0 in shares and 1 in shares


def test_what_is_finished_is_not_computed_again_and_needs_no_model(sweep, monkeypatch):
    first = sweep("method=dense", "task.limit=1")
    run(first)
    before = records(first)["dense", "multi_turn"]
    second = sweep("method=dense,streaming_llm", "budget=0.25")
    (cells,) = run(second).values()
    computed = {second.cells[name].method_name: counts["computed"] for name, counts in cells.items()}
    assert computed == {"dense": 1, "streaming_llm": 2}
    assert records(second)["dense", "multi_turn"][: len(before)] == before

    def no_model(*_):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("scbench.run.loading.load", no_model)
    (again,) = run(second).values()
    assert {counts["computed"] for counts in again.values()} == {0}


def test_a_missing_model_fails_its_cells_with_a_reason(sweep, tmp_path):
    (cells,) = run(sweep("method=dense", f"model.path={tmp_path / 'gone'}")).values()
    assert [cell["failed"] for cell in cells.values()] == [f"model.path={tmp_path / 'gone'}: no such folder"]


def test_unreadable_data_fails_its_cells_naming_file_and_row(sweep, tmp_path):
    data = tmp_path / "rows.jsonl"
    row = {"context": '{"a": "b"}', "multi_turns": [{"input": "a?", "answer": "b"}]}
    data.write_text(json.dumps(row) + "\n" + json.dumps({**row, "multi_turns": []}) + "\n")
    (cells,) = run(sweep("method=dense", f"task.data={data}")).values()
    (cell,) = cells.values()
    assert f"{data}, row 2, field multi_turns" in cell["failed"]


def test_published_rows_are_asked(sweep, tmp_path):
    data = tmp_path / "rows.jsonl"
    data.write_text(json.dumps({"context": '{"a": "b"}', "multi_turns": [{"input": "a?", "answer": "b"}] * 3}) + "\n")
    manifest = sweep("method=dense", f"task.data={data}", "max_turns=2")
    (cells,) = run(manifest).values()
    assert [counts["outcomes"] for counts in cells.values()] == [{"ok": 2}]


def test_a_context_beyond_the_window_is_cut_and_says_so(sweep):
    manifest = sweep(*CELLS, "model.window=600", "run.save_ids=true")
    run(manifest)
    for lines in records(manifest).values():
        assert {record.outcome for record in lines} == {Outcome.TRUNCATED}
        assert all("context tokens were cut" in record.detail for record in lines)
        assert max(record.prompt_tokens for record in lines) + 6 <= 600


def test_a_question_beyond_the_window_is_refused_before_the_model_is_loaded(sweep, tmp_path, monkeypatch):
    def no_model(*_):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("scbench.run.loading.load", no_model)
    (cells,) = run(sweep("method=dense", "model.window=40")).values()
    (cell,) = cells.values()
    assert "session s0-0000, turn 0: the question and its answer need" in cell["failed"]
    assert "window has 40" in cell["failed"]
    data = tmp_path / "rows.jsonl"
    short, long = ({"input": text, "answer": "b"} for text in ("a?", "a? " * 99))
    rows = [{"context": '{"a": "b"}', "multi_turns": turns} for turns in ([short], [short, long])]
    folder = tmp_path / "published"
    folder.mkdir()
    data = folder / "scbench_kv.jsonl"
    data.write_text("\n".join(json.dumps(row) + "\n" for row in rows))  # with a blank line between them
    (cells,) = run(sweep("method=dense", f"task.data={folder}", "model.window=90")).values()
    (cell,) = cells.values()
    assert f"{data}, row 3, field multi_turns[1].input (session row-00002, turn 1)" in cell["failed"]


def test_diagnostics_of_a_model_with_states_are_refused_before_weights_are_loaded(sweep, folder, tmp_path):
    hybrid = tmp_path / "hybrid"
    AutoTokenizer.from_pretrained(folder).save_pretrained(hybrid)
    tiny.STATES["bamba"]().save_pretrained(hybrid)  # and no weights at all
    (cells,) = run(sweep(f"model.path={hybrid}", "model.window=2048", "engine.diagnostics=attention")).values()
    (cell,) = cells.values()
    assert cell["failed"].startswith(f"model.path={hybrid}: engine.diagnostics=attention needs a model without recur")


def test_run_ends_with_the_reason_alone_where_nothing_could_run(folder, tmp_path, capsys, monkeypatch):
    from scbench import cli

    data = tmp_path / "rows.jsonl"
    data.write_text(json.dumps({"context": "c", "multi_turns": []}) + "\n")
    monkeypatch.chdir(Path(__file__).parents[2])
    given = ["run", f"model.path={folder}", f"results={tmp_path / 'results'}", "method=dense", "task=retr_kv"]
    assert cli.main([*given, f"task.data={data}"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines()[-1] == f"scbench: {data}, row 1, field multi_turns: has no turns"
    assert not list((tmp_path / "results" / "sessions").iterdir())
    assert cli.main([*given, *SMALL[1:]]) == 0


def test_run_ends_with_code_1_where_a_turn_failed(folder, tmp_path, capsys, monkeypatch):
    from scbench import cli

    monkeypatch.chdir(Path(__file__).parents[2])
    given = ["run", f"model.path={folder}", f"results={tmp_path / 'results'}", "method=dense", *SMALL]
    given = [item for item in given if not item.startswith("task.max_new")]
    assert cli.main([*given, "model.window=200", "task.max_new_tokens=70"]) == 1
    assert "the model's window has 200" in capsys.readouterr().out


def test_a_dialogue_beyond_the_window_is_an_error_of_the_session(sweep):
    manifest = sweep("method=dense", "model.window=200", "task.max_new_tokens=70")
    run(manifest)
    (lines,) = records(manifest).values()
    assert {record.outcome for record in lines} == {Outcome.ERROR}
    assert "the model's window has 200" in lines[0].detail


def test_whole_items_go_so_that_every_answer_stays(sweep):
    found = {}
    for fit in ("whole", "middle"):
        manifest = sweep("method=dense", "model.window=700", f"fit={fit}", "run.save_ids=true")
        run(manifest)
        (found[fit],) = records(manifest).values()
    whole, middle = found["whole"], found["middle"]
    assert {record.outcome for record in whole + middle} == {Outcome.TRUNCATED}
    assert all(re.search(r"cut to fit the window \(\d+ groups of whole items\)$", record.detail) for record in whole)
    assert not any(record.answer_cut for record in whole)
    assert all("(the middle)" in record.detail for record in middle)
    lost = [record for record in middle if record.answer_cut]
    assert lost and len(lost) < len(middle)
    assert all(record.detail.endswith("; the answer stood there") for record in lost)


def test_a_session_that_breaks_costs_only_its_cell_and_can_be_retried(sweep, monkeypatch):
    manifest = sweep(*CELLS)
    opened = Decoder.open

    def failing(self, rows):
        if failing.armed and rows[0].suffix:
            failing.armed = False
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return opened(self, rows)

    failing.armed = True
    monkeypatch.setattr(Decoder, "open", failing)
    (cells,) = run(manifest).values()
    outcomes = sorted(str(counts["outcomes"]) for counts in cells.values())
    assert outcomes == ["{'ok': 2, 'oom': 2}", "{'ok': 4}", "{'ok': 4}", "{'ok': 4}"]
    run(manifest)
    assert sum(r.outcome is Outcome.OOM for lines in records(manifest).values() for r in lines) == 2
    run(sweep(*CELLS, "run.retry=true"))
    assert {r.outcome for lines in records(manifest).values() for r in lines} == {Outcome.OK}


def test_generated_history_feeds_the_models_own_answers_back(sweep):
    manifest = sweep("method=dense", "history=generated", "run.save_ids=true")
    run(manifest)
    (lines,) = records(manifest).values()
    for first, second in zip(lines[::2], lines[1::2], strict=True):
        start = len(first.prompt_ids)
        assert second.prompt_ids[:start] == first.prompt_ids
        assert second.prompt_ids[start : start + first.output_tokens] == first.output_ids


def test_a_full_disk_names_the_cell(sweep, monkeypatch):
    def full(descriptor, content):
        raise OSError(28, "No space left on device")

    manifest = sweep("method=dense")
    monkeypatch.setattr("scbench.results.store.os.write", full)
    with pytest.raises(
        ScbenchError, match=r"smollm2_135m · dense · retr_kv · multi_turn: cannot append session .*No space"
    ):
        run(manifest)


def test_the_originals_prompts_run_too(sweep):
    manifest = sweep("method=dense", "prompt_style=ref", "mode=multi_turn,multi_request")
    run(manifest)
    assert {r.outcome for lines in records(manifest).values() for r in lines} == {Outcome.OK}


def test_dense_again_is_a_cell_of_its_own_in_the_family_of_dense(sweep):
    manifest = sweep("method=dense,dense_repeat", "method.dense_repeat.chunk=100", "task.limit=1")
    assert len(manifest.families) == 1
    run(manifest)
    dense, again = records(manifest).values()
    for one, other in zip(dense, again, strict=True):
        assert (one.outcome, other.outcome) == (Outcome.OK, Outcome.OK)
        assert (one.times["decode"].width, other.times["decode"].width) == (2, 2)
        assert one.output_ids == other.output_ids
        assert one.kv_bytes == other.kv_bytes
        assert one.fidelity.kl_to_dense == 0 <= other.fidelity.kl_to_dense < 1e-6


def test_a_table_of_another_model_is_refused_before_the_model_is_loaded(sweep, tmp_path, monkeypatch):
    def tabled(*rows):
        file = tmp_path / f"{len(rows)}.json"
        file.write_text(json.dumps({"patterns": [["block_sparse", 3], ["stream_llm", 4, 60]], "heads": rows}))
        return sweep("method=minference", f"method.minference.table={file}", "task.limit=1")

    manifest = tabled([0, 0, 1, 0], [1, 1, 0, 1], [1, 0, 1, 1])
    (cells,) = run(manifest).values()
    assert [counts["outcomes"] for counts in cells.values()] == [{"ok": 2}]
    ((first, _),) = records(manifest).values()
    assert 0 < max(first.density) < 0.5
    monkeypatch.setattr("scbench.run.loading.load", None)
    (cells,) = run(tabled([0, 0, 1, 0], [1, 1, 0, 1])).values()
    (cell,) = cells.values()
    assert "is for 2 layers of 4 query heads, the model has 3 of 4" in cell["failed"]


def test_families_of_one_model_load_it_once(sweep, monkeypatch):
    loads = []
    load = loading.load
    monkeypatch.setattr(loading, "load", lambda *given: loads.append(given) or load(*given))
    manifest = sweep("method=dense,a_shape", "method.a_shape.window=64", "method.a_shape.sinks=8", "mode=multi_turn")
    assert len(manifest.families) == 2
    run_here(manifest, NullProgress())
    assert len(loads) == 1
    assert {name: len(found) for name, found in records(manifest).items()} == {
        ("dense", "multi_turn"): 4,
        ("a_shape", "multi_turn"): 4,
    }
    other = sweep("method=dense", "mode=multi_turn", "model.window=1900")
    run_here(other, NullProgress())
    assert len(loads) == 2


@pytest.mark.parametrize("batch", ["method", "family"])
def test_a_bundle_gives_what_its_families_give(batch, sweep, tmp_path):
    prefills = ["method=dense,a_shape,tri_shape,streaming_llm", "budget=0.25", "mode=multi_turn,multi_request"]
    apart = sweep(*prefills, f"results={tmp_path / 'apart'}")
    together = sweep(*prefills, f"results={tmp_path / 'together'}", "run.bundle=true", f"engine.batch={batch}")
    assert (len(apart.families), len(together.families)) == (3, 1)
    run(apart)
    run(together)
    answers, bundled = records(apart), records(together)
    assert {record.outcome for found in bundled.values() for record in found} == {Outcome.OK}
    for cell, found in answers.items():
        assert [(one.prediction, one.kept) for one in bundled[cell]] == [(one.prediction, one.kept) for one in found]
