"""An OpenAI-compatible endpoint: what it is asked, what is recorded, and what happens when it refuses."""

import json

import pytest
from family_runs import records, run
from toy_endpoint import KEY, served

from chat_templates import LLAMA_3, STYLES
from scbench.engines.messages import Messages
from scbench.errors import ScbenchError
from scbench.modes import Mode, build_layout
from scbench.prompts.chat import OPTIONS
from scbench.prompts.dialogue import build_dialogue
from scbench.record import Outcome
from scbench.results.scores import score_sweep
from scbench.results.tables import tables_sweep
from scbench.run.local import run_here
from scbench.run.progress import NullProgress
from scbench.share.pack import pack
from scbench.share.verify import verify
from scbench.tasks.retr_kv import RetrKV
from tiny_folder import write_tiny

BOTH = "mode=multi_turn,multi_request"
BUSY = (429, {"Retry-After": "0"}, "slow down")


@pytest.fixture(scope="module")
def shared(folder):
    with served(folder) as found:
        yield found


@pytest.fixture
def endpoint(shared, monkeypatch):
    """The toy with nothing left of other tests, and the overrides that name it."""
    toy, url = shared
    toy.faults, toy.seen, toy.keys, toy.most, toy.delay = [], [], [], 0, 0.0
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    return toy, ["engine=openai", f"engine.url={url}", "engine.model=tiny-one"]


@pytest.mark.parametrize(("prompt", "history"), [("tokens", "gold"), ("text", "gold"), ("tokens", "generated")])
def test_completions_are_those_of_our_own_engine(sweep, endpoint, prompt, history):
    toy, chosen = endpoint
    given = (BOTH, f"history={history}", "run.save_ids=true")
    own, other = sweep(*given), sweep(*given, *chosen, f"engine.prompt={prompt}")
    run(own)
    run(other)
    expected, found = records(own), records(other)
    for mode, lines in found.items():
        assert len(lines) == 6 and {record.outcome for record in lines} == {Outcome.OK}
        for one, two in zip(lines, expected[mode], strict=True):
            if history == "gold" or one.turn == 0:  # later ones hold an answer's tokens, and texts may have others
                assert (one.prompt_ids, one.prediction) == (two.prompt_ids, two.prediction)
                assert one.stopped == two.stopped
            assert one.serving.cached == one.prompt_tokens // 2
            assert one.serving.wait is None and one.serving.cacheable is None and one.fidelity is None
            assert one.provenance["engine"] == "openai" and one.provenance["served_model"] == "tiny-one"
            assert one.provenance["cache"] == "taken for dense"
    assert all(isinstance(body["prompt"], str) == (prompt == "text") for _, body, _ in toy.seen)
    assert all(body["temperature"] == 0 and body["max_tokens"] == 6 for _, body, _ in toy.seen)
    assert 1 < toy.most <= 4
    assert set(toy.keys) == {f"Bearer {KEY}"}
    written = [file.read_text() for file in other.root.rglob("*") if file.is_file()]
    assert not any(KEY in text for text in written)


def test_its_records_are_scored_tabulated_packed_and_verified_like_any_others(sweep, endpoint):
    _, chosen = endpoint
    manifest = sweep(BOTH, *chosen)
    run_here(manifest, NullProgress())
    assert len(score_sweep(manifest.path).scores) == 12
    tables_sweep(manifest.path)
    verdict = verify(pack(manifest.path).path)
    assert verdict.holds and verdict.records == 12
    costs = (manifest.folder / "tables" / "costs.md").read_text()
    assert "n/a" in costs


def test_what_is_refused_for_now_is_asked_again(sweep, endpoint):
    toy, chosen = endpoint
    toy.faults = [BUSY, (500, {}, "oops"), BUSY, (503, {}, "")]
    manifest = sweep(*chosen, "task.limit=1", "engine.concurrency=1")
    run(manifest)
    (lines,) = records(manifest).values()
    assert {record.outcome for record in lines} == {Outcome.OK}
    assert len(toy.seen) == 3 + 4 and toy.most == 1
    times = [at for _, _, at in toy.seen]
    assert times[2] - times[1] > 0.5, "a server's own error is not asked about again at once"


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ((503, {}, "down\nfor good"), "answers HTTP 503: down for good"),
        ((400, {}, '{"error": "too long"}'), 'answers HTTP 400: {"error": "too long"}'),
        ((401, {}, ""), "refuses the key (HTTP 401); it is read from $OPENAI_API_KEY"),
        ((200, {}, "<html>"), "sent no JSON"),
        ((200, {}, '{"choices": []}'), "sent no answer (IndexError: list index out of range)"),
        (
            (200, {}, json.dumps({"choices": [{"text": "", "finish_reason": "content_filter"}]})),
            "ended an answer with finish_reason=content_filter",
        ),
    ],
)
def test_what_it_will_not_answer_is_an_outcome(sweep, endpoint, fault, said):
    toy, chosen = endpoint
    toy.faults = [fault] * 2
    manifest = sweep(*chosen, "engine.retries=1", "engine.concurrency=1")
    run(manifest)
    (lines,) = records(manifest).values()
    assert [record.outcome for record in lines] == [Outcome.ERROR] * 3 + [Outcome.OK] * 3
    assert said in lines[0].detail and "\n" not in lines[0].detail
    assert KEY not in lines[0].detail


def test_an_answer_that_takes_too_long_is_a_time_out(sweep, endpoint):
    toy, chosen = endpoint
    toy.delay = 3.0
    manifest = sweep(*chosen, "task.limit=1", "engine.timeout=1")
    run(manifest)
    (lines,) = records(manifest).values()
    assert {record.outcome for record in lines} == {Outcome.TIMEOUT}
    assert lines[0].detail == "TimeoutError: engine.timeout=1.0 s is over"


def test_an_endpoint_that_cannot_be_had_fails_its_cells_with_one_line(sweep, endpoint, monkeypatch):
    _, chosen = endpoint
    (summary,) = run(sweep(*chosen[:-1], "engine.model=tiny-won")).values()
    assert summary["failed"].endswith("has none such; did you mean 'tiny-one'?")
    (summary,) = run(sweep(chosen[0], "engine.url=http://127.0.0.1:9/v1", chosen[2], "engine.retries=0")).values()
    assert "engine.url=http://127.0.0.1:9/v1 cannot be reached (" in summary["failed"]
    monkeypatch.delenv("OPENAI_API_KEY")
    (summary,) = run(sweep(*chosen)).values()
    assert "refuses the key (HTTP 401)" in summary["failed"]


@pytest.mark.parametrize("key", ["secret-1\r\n", "secret-2\nX: y", "secret-3…"])
def test_a_key_that_no_header_can_have_is_never_written(sweep, endpoint, monkeypatch, key):
    toy, chosen = endpoint
    monkeypatch.setenv("OPENAI_API_KEY", key)
    manifest = sweep(*chosen)
    run_here(manifest, NullProgress())
    written = "".join(file.read_text() for file in manifest.root.rglob("*") if file.is_file())
    assert key.split()[0][:9] not in written
    if (
        key.strip().isascii() and "X" not in key
    ):  # an end of the line, as files and clipboards have it, is none of the key's
        assert set(toy.keys) == {"Bearer secret-1"}
    else:
        assert not toy.keys and "$OPENAI_API_KEY has characters that no key has" in written


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["engine.key_variable=sk-secret"], "expected the name of the environment's variable"),
        (
            ["engine.url=http://h/v1", "engine.model=m", "model.parallel=2"],
            "engine=openai spreads no model over devices",
        ),
        (["engine.model=m"], "engine=openai needs engine.url=…"),
        (["engine.url=http://h/v1"], "engine=openai needs engine.model=…"),
        (["engine.url=ftp://h"], "engine.url=ftp://h: expected http"),
        (["engine.url=http://me:secret@h/v1"], "no keys in the address"),
        (["engine.api=chats"], "did you mean 'chat'?"),
        (["engine.url=http://h/v1", "engine.model=m", "method=snapkv"], "engine=openai does not run method=snapkv"),
        (
            ["engine.url=http://h/v1", "engine.model=m", "engine.api=chat", "prompt_style=ref"],
            "has no prompt_style=ref",
        ),
    ],
)
def test_what_cannot_be_asked_is_refused_when_the_sweep_is_planned(sweep, given, said):
    with pytest.raises(ScbenchError) as refused:
        sweep("engine=openai", *given)
    assert said in str(refused.value) and "\n" not in str(refused.value) and "secret" not in str(refused.value)


@pytest.mark.parametrize("name", sorted(STYLES))
def test_a_chat_gets_the_messages_that_make_the_prompt(name):
    tokenizer = STYLES[name].tokenizer()
    task = RetrKV(length=600, turns=3)
    dialogue = build_dialogue(task.generate(0, tokenizer), task, tokenizer)
    read = Messages(tokenizer)
    for mode in ("multi_turn", "multi_request"):
        layout = build_layout(Mode(mode), dialogue, (4,) * 3)
        for branch in layout.branches:
            prompt = layout.trunk[: branch.leaves] + branch.suffix
            messages = read.of(prompt)
            rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **OPTIONS)
            plain = tokenizer.decode(prompt, clean_up_tokenization_spaces=False)
            thought = "<think>\n\n</think>\n\n"  # which a history does not show, and a prompt of ours does
            assert plain.replace(thought, "") == rendered.replace(thought, "")
            assert len(messages) == (1 + 2 * branch.turn if mode == "multi_turn" else 1)


def test_a_text_that_looks_like_the_template_is_refused():
    tokenizer = LLAMA_3.tokenizer()
    with pytest.raises(ScbenchError, match="not framed by the model's chat template"):
        Messages(tokenizer).of(tuple(tokenizer.encode("hello", add_special_tokens=False)))


def test_chats_are_recorded(sweep, endpoint, tmp_path):
    toy, chosen = endpoint
    path = write_tiny(tmp_path / "chatty", LLAMA_3.template)
    manifest = sweep(f"model.path={path}", *chosen, "engine.api=chat", BOTH, "task.limit=1")
    run(manifest)
    found = records(manifest)
    assert [record.prediction for record in found["multi_turn"]] == ["1 messages", "3 messages", "5 messages"]
    assert {record.prediction for record in found["multi_request"]} == {"1 messages"}
    assert {path for path, *_ in toy.seen} == {"/v1/chat/completions"}
