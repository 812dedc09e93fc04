"""Methods that rewrite the text: what the model reads, what is recorded, and that the model can be asked."""

import shutil

import pytest
import torch
from test_family import CONF, SMALL

import toy_classifier
from oracles import engine, tiny
from scbench.engine.answer import Deadline
from scbench.grid.hashes import Hashes
from scbench.grid.plan import plan
from scbench.models.model import ModelConfig, load
from scbench.results.store import CellStore
from scbench.run.family import run_family
from scbench.run.local import write_sessions
from scbench.run.progress import NullProgress
from scbench.run.work import prepare
from scbench.tasks.sessions import read


@pytest.fixture
def planned(tmp_path, folder):
    """Plans cells of a method outside the package, beside a copy of the repository's configuration."""
    conf = tmp_path / "conf"
    shutil.copytree(CONF, conf)
    text = "# Keep what surprises\n_target_: oracles.sample_methods.Surprising\ntokens: 100\n"
    (conf / "method" / "surprising.yaml").write_text(text)

    def make(*overrides):
        base = [f"model.path={folder}", f"results={tmp_path / 'results'}", *SMALL]
        manifest = plan([*base, *overrides], conf)
        manifest.write()
        for source in manifest.sources:
            write_sessions(manifest, source)
        return manifest

    return make


def test_the_text_is_rewritten_before_it_is_tokenised(planned):
    manifest = planned("method=surprising", "mode=multi_turn,multi_request", "budget=0.5", "run.save_ids=true")
    (family,) = manifest.families
    summary = run_family(manifest.path, family.id, NullProgress())
    assert all(counts["outcomes"] == {"ok": 4} for counts in summary.cells.values()), summary
    contexts = set()
    for name in manifest.cells:
        for record in CellStore(manifest.root, name).read():
            assert record.times["rewrite"].seconds > 0
            contexts.add(record.prompt_ids[:400])
    assert len(contexts) == 2  # one per session, the same in both modes and all turns
    dense = planned("method=dense", "mode=multi_request")
    run_family(dense.path, dense.families[0].id, NullProgress())
    (cell,) = dense.cells
    whole = {(record.session, record.turn): record for record in CellStore(dense.root, cell).read()}
    (asked,) = (name for name, cell in manifest.cells.items() if cell.mode.build().kind == "multi_request")
    for short in CellStore(manifest.root, asked).read():
        other = whole[short.session, short.turn]
        assert short.prompt_tokens < 0.7 * other.prompt_tokens
        assert short.kv_bytes.stored < 0.7 * other.kv_bytes.stored
        assert short.kv_bytes.dense == pytest.approx(other.kv_bytes.dense, rel=0.003)  # of the text as it was


def test_a_method_that_leaves_the_text_as_it_was_is_an_error(planned):
    manifest = planned("method=surprising", "mode=multi_turn", "method.tokens=100000")
    (counts,) = run_family(manifest.path, manifest.families[0].id, NullProgress()).cells.values()
    assert counts["outcomes"] == {"error": 4}
    (name,) = manifest.cells
    assert "Surprising should have rewritten the context" in CellStore(manifest.root, name).read()[0].detail


def records(manifest):
    """All records by the method's name, of manifests in multi-turn mode."""
    return {cell.method_name: CellStore(manifest.root, name).read() for name, cell in manifest.cells.items()}


def test_what_has_nothing_to_do_is_a_noop_and_dense(planned):
    dense = planned("method=dense", "mode=multi_turn")
    run_family(dense.path, dense.families[0].id, NullProgress())
    found = records(dense)["dense"]
    prompts = [record.prompt_tokens for record in found if record.turn == 0]
    for budget in ("1.0", min(prompts) - 1):  # all of the context's tokens, though not all of the base's
        manifest = planned("method=llmlingua2", "method.scorer=self_information", f"budget={budget}")
        run_family(manifest.path, manifest.families[0].id, NullProgress())
        idle = records(manifest)["llmlingua2"]
        assert {record.outcome.value for record in idle} == {"noop"}
        assert [record.output_ids for record in idle] == [record.output_ids for record in found]
        assert all(record.context_kept is None and "rewrite" not in record.times for record in idle)


def test_llmlingua2_alone_and_before_a_compression(planned):
    manifest = planned(
        "method=llmlingua2,llmlingua2+snapkv",
        "method.llmlingua2.scorer=self_information",
        "method.snapkv.window=8",
        "budget=0.5",
        "run.save_ids=true",
    )
    (family,) = manifest.families  # both rewrite the text in the same way, once
    run_family(manifest.path, family.id, NullProgress())
    alone, both = records(manifest).values()
    assert {record.outcome.value for record in alone + both} == {"ok"}
    for one, other in zip(alone, both, strict=True):
        assert one.prompt_ids == other.prompt_ids
        assert 0.4 < one.context_kept == other.context_kept <= 0.5
        assert one.times["rewrite"].seconds == other.times["rewrite"].seconds > 0
        assert one.kv_bytes.nominal == one.kv_bytes.stored < 0.6 * one.kv_bytes.dense
        assert one.kept == (one.prompt_tokens,) * 3
        assert max(other.kept) < 0.75 * one.prompt_tokens
        assert other.kv_bytes.nominal < 0.51 * other.kv_bytes.dense
    assert [record.output_ids for record in alone] != [record.output_ids for record in both]


def test_a_method_after_it_does_what_it_does_on_the_shortened_text(planned, folder):
    both = planned("method=llmlingua2+snapkv", "method.llmlingua2.scorer=self_information", "budget=0.5")
    alone = planned("method=snapkv", "budget=0.5")
    loaded = load(ModelConfig(str(folder), dtype="float32"), torch.device("cpu"))
    decoder = engine.decoder(loaded.model)
    (session, *_) = read(both.sessions(both.families[0].source))
    with torch.inference_mode():
        first = prepare(session, both.cells, loaded, decoder)
        second = prepare(first.session, alone.cells, loaded, decoder)
    (one,), (other,) = first.jobs, second.jobs
    assert first.session.context != session.context
    assert one.left_out > 0
    assert (one.layout, one.method, one.budget) == (other.layout, other.method, other.budget)


def test_a_classifier_rewrites_and_names_its_cells(planned, tmp_path):
    weights = toy_classifier.save_sentence_piece(tmp_path / "classifier")
    manifest = planned("method=llmlingua2", f"method.path={weights}")
    (counts,) = run_family(manifest.path, manifest.families[0].id, NullProgress()).cells.values()
    assert counts["outcomes"] == {"ok": 4}
    assert all(0.2 < record.context_kept <= 0.3333 for record in records(manifest)["llmlingua2"])
    ((name, cell),) = manifest.cells.items()
    assert Hashes().of(cell) == manifest.hashes[name]
    toy_classifier.save_sentence_piece(weights, seed=1)
    assert Hashes().of(cell) != manifest.hashes[name]


def test_a_missing_classifier_fails_its_cells_with_a_reason(planned, tmp_path, monkeypatch):
    def no_model(*_):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("scbench.run.loading.load", no_model)
    manifest = planned("method=llmlingua2,llmlingua2+snapkv", f"method.llmlingua2.path={tmp_path / 'gone'}")
    cells = run_family(manifest.path, manifest.families[0].id, NullProgress()).cells.values()
    assert [cell["failed"] for cell in cells] == [f"method.path={tmp_path / 'gone'}: no such folder"] * 2


def test_surprisal_is_that_of_transformers():
    decoder = engine.decoder(tiny.model("llama", "eager"), chunk=7)
    ids = list(tiny.dialogue().context)
    with torch.inference_mode():
        found = decoder.surprisal(ids, Deadline(None))
        logits = tiny.model("llama", "eager")(torch.tensor([ids])).logits[0].log_softmax(-1)
    wanted = [0.0] + [-float(logits[place, token]) for place, token in enumerate(ids[1:])]
    assert found.tolist() == pytest.approx(wanted, abs=1e-4)
