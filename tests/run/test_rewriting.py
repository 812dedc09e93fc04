"""Methods that rewrite the text: what the model reads, what is recorded, and that the model can be asked."""

import textwrap

import pytest
import torch

from oracles import engine, tiny
from scbench.engine.answer import Deadline
from scbench.record import Outcome
from scbench.results.store import CellStore
from scbench.run.family import run_family
from scbench.run.progress import NullProgress
from test_family import folder, sweep  # noqa: F401 - fixtures

METHOD = '''
    from dataclasses import dataclass, replace
    from typing import ClassVar

    from scbench.methods.base import Method


    @dataclass(frozen=True)
    class Surprising(Method):
        """The most surprising tokens, in their order."""

        uses_budget: ClassVar[bool] = True
        family_key: ClassVar[str] = "surprising"
        stages: ClassVar[tuple[str, ...]] = ("generation",)
        rewrites: ClassVar[bool] = True

        tokens: int = 100

        def with_tokens(self, tokens):
            return replace(self, tokens=tokens)

        def rewrite(self, context, reader):
            ids = reader.encode(context)
            kept = reader.surprisal(ids).topk(min(self.tokens, len(ids))).indices.sort().values.tolist()
            return reader.decode([ids[place] for place in kept])
'''


@pytest.fixture
def conf(tmp_path, monkeypatch):
    """The method as a user's own file, beside the repository's configuration."""
    (tmp_path / "surprising_method.py").write_text(textwrap.dedent(METHOD))
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_the_text_is_rewritten_once_and_answers_are_those_of_the_shorter_text(sweep, conf, folder):  # noqa: F811
    own = "+method._target_=surprising_method.Surprising"
    del own
    manifest = sweep("method=surprising", "mode=multi_turn,multi_request", "budget=0.5", "run.save_ids=true")
    (family,) = manifest.families
    summary = run_family(manifest.path, family.id, NullProgress())
    assert all(counts["outcomes"] == {"ok": 4} for counts in summary.cells.values())
    for name in manifest.cells:
        for record in CellStore(manifest.root, name).read():
            assert record.times["rewrite"].seconds > 0
            assert record.prompt_tokens < 700
            assert record.outcome is Outcome.OK


def test_surprisal_is_that_of_transformers():
    decoder = engine.decoder(tiny.model("llama", "eager"), chunk=7)
    ids = list(tiny.dialogue().context)
    with torch.inference_mode():
        found = decoder.surprisal(ids, Deadline(None))
        logits = tiny.model("llama", "eager")(torch.tensor([ids])).logits[0].log_softmax(-1)
    wanted = [0.0] + [-float(logits[place, token]) for place, token in enumerate(ids[1:])]
    assert found.tolist() == pytest.approx(wanted, abs=1e-4)
