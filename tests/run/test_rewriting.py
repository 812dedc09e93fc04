"""Methods that rewrite the text: what the model reads, what is recorded, and that the model can be asked."""

import shutil

import pytest
import torch
from test_family import CONF, SMALL

from oracles import engine, tiny
from scbench.engine.answer import Deadline
from scbench.grid.plan import plan
from scbench.results.store import CellStore
from scbench.run.family import run_family
from scbench.run.local import write_sessions
from scbench.run.progress import NullProgress


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
    whole = CellStore(dense.root, cell).read()[0].prompt_tokens
    short = CellStore(manifest.root, next(iter(manifest.cells))).read()[0].prompt_tokens
    assert short < 0.7 * whole
    assert record.kv_bytes.dense < 0.7 * CellStore(dense.root, cell).read()[0].kv_bytes.dense


def test_a_method_that_leaves_the_text_as_it_was_is_an_error(planned):
    manifest = planned("method=surprising", "mode=multi_turn", "method.tokens=100000")
    (counts,) = run_family(manifest.path, manifest.families[0].id, NullProgress()).cells.values()
    assert counts["outcomes"] == {"error": 4}
    (name,) = manifest.cells
    assert "Surprising should have rewritten the context" in CellStore(manifest.root, name).read()[0].detail


def test_surprisal_is_that_of_transformers():
    decoder = engine.decoder(tiny.model("llama", "eager"), chunk=7)
    ids = list(tiny.dialogue().context)
    with torch.inference_mode():
        found = decoder.surprisal(ids, Deadline(None))
        logits = tiny.model("llama", "eager")(torch.tensor([ids])).logits[0].log_softmax(-1)
    wanted = [0.0] + [-float(logits[place, token]) for place, token in enumerate(ids[1:])]
    assert found.tolist() == pytest.approx(wanted, abs=1e-4)
