"""What `scbench show` and `scbench diff` print, and the data behind it."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest

from scbench import cli
from scbench.errors import ScbenchError
from scbench.grid.manifest import Manifest
from scbench.record import Outcome
from scbench.results.bootstrap import Interval
from scbench.results.dialogue import read_dialogue
from scbench.results.differing import CellDifference, differences, only
from scbench.results.scores import score_sweep
from scbench.results.session_hashes import hashed
from scbench.results.summary import read_summary
from scbench.tasks import sessions
from scbench.tasks.session import Session, Turn
from sweep_builder import answers, cell, write_sweep

SESSIONS = [f"s{place}" for place in range(12)]
CELLS = {"d0": cell(), "e0": cell("dense_repeat"), "m0": cell("snapkv", budget=0.25)}
HOSTILE = "<b>\u202egnol</b> [red]x[/red] \x00"


def sweep(root: Path, right: dict[str, bool], cells=CELLS, **values) -> Path:
    records = [answers(name, session, [good, True], **values) for name, good in right.items() for session in SESSIONS]
    manifest = write_sweep(root, cells, records, sessions=SESSIONS)
    score_sweep(manifest)
    return manifest


@pytest.fixture
def shown(tmp_path: Path) -> Path:
    manifest = sweep(tmp_path, {"d0": True, "e0": True, "m0": False}, prediction=HOSTILE)
    turns = tuple(Turn(f"question {turn}?", "the-value") for turn in (1, 2))
    made = [Session(name, "retr_kv", "generated", "…", turns, (name,), 1, 512) for name in SESSIONS]
    sessions.write(Manifest.read(manifest).sessions("src-m0"), made)
    return manifest


def printed(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert cli.main([*map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_a_sweep_is_shown_by_folder_manifest_or_name(shown, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "150")
    by_folder = printed(capsys, "show", shown.parent)
    assert "Cells, multi_turn" in by_folder
    assert printed(capsys, "show", "--manifest", shown) == by_folder
    monkeypatch.chdir(shown.parents[2])
    (shown.parents[2] / "results").symlink_to(shown.parents[1])
    assert "Cells, multi_turn" in printed(capsys, "show", "trial")


@pytest.mark.parametrize(
    ("view", "words"),
    [
        ("turn", ["turn 1", "turn 2", "snapkv (25%)"]),
        ("budget", ["no budget", "25%"]),
        ("stage", ["prefill s (shared)", "pays from"]),
    ],
)
def test_views(shown, capsys, monkeypatch, view, words):
    monkeypatch.setenv("COLUMNS", "200")
    found = printed(capsys, "show", shown.parent, "--by", view)
    assert all(word in found for word in words)


def test_a_dialogue_has_question_gold_prediction_and_scores(shown, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    found = printed(capsys, "show", shown.parent, "--cell", "snapkv 25% multi_turn", "--session", "s3", "--turn", 2)
    lines = found.splitlines()
    assert lines[0] == "Retr.KV (gen) · multi_turn · tiny · snapkv (25%) · session s3"
    assert lines[1] == "cell m0" and lines[3].startswith("turn 2: ok, strict 0.00")
    assert lines[4:] == ["question: question 2?", "gold: the-value", r"prediction: <b>\u202egnol</b> [red]x[/red] \x00"]


def test_a_failed_turn_has_no_scores(tmp_path):
    manifest = write_sweep(tmp_path, {"d0": cell()}, [answers("d0", "s0", [True], outcome=Outcome.OOM)])
    asked = Session("s0", "retr_kv", "generated", "…", (Turn("why?", "the-value"),), ("d",), 1, 512)
    sessions.write(Manifest.read(manifest).sessions("src-d0"), [asked])
    (answer,) = read_dialogue(manifest, "d").answers
    assert (answer.scores, answer.question, answer.record.outcome) == (None, "why?", Outcome.OOM)


def test_the_questions_of_an_archive_are_not_known(shown, capsys):
    file = Manifest.read(shown).sessions("src-m0")
    file.write_bytes(hashed(file))
    said = printed(capsys, "show", shown.parent, "--cell", "m0", "--session", "s1")
    assert said.count("question: not in an archive, which names sessions by their hashes") == 2


def test_words_name_the_cell_with_no_method_more(tmp_path, capsys):
    both = dataclasses.replace(
        cell("snapkv", budget=0.25), methods=(*cell("minference").methods, *cell("snapkv").methods)
    )
    manifest = sweep(tmp_path, {"m0": True, "c0": True}, {"m0": cell("snapkv", budget=0.25), "c0": both})
    assert "cell m0" in printed(capsys, "show", manifest.parent, "--cell", "snapkv retr_kv")
    assert "cell c0" in printed(capsys, "show", manifest.parent, "--cell", "minference snapkv retr_kv")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cell", "quest"], r"no cell is 'quest'; name one by .*m0 \(tiny snapkv \(25%\) retr_kv multi_turn\)"),
        (["--cell", "retr_kv"], "3 cells are 'retr_kv'"),
        (["--cell", "m0", "--session", "s99"], r"no session 's99'; .*s9"),
        (["--cell", "m0", "--turn", "7"], "no turn 7"),
        (["--session", "s1"], "add --cell"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(shown, capsys, arguments, message):
    assert cli.main(["show", str(shown.parent), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    with pytest.raises(ScbenchError, match=message):
        raise ScbenchError(error)


@pytest.mark.parametrize("arguments", [["show"], ["show", "a", "--manifest", "b"]])
def test_a_sweep_or_a_manifest(arguments, capsys):
    assert cli.main(arguments) == 2
    assert "either SWEEP or --manifest FILE" in capsys.readouterr().err


def both(tmp_path, right, cells=CELLS, **values):
    manifests = (
        sweep(tmp_path / "one", {"d0": True, "e0": True, "m0": True}),
        sweep(tmp_path / "two", right, cells, **values),
    )
    return [read_summary(path) for path in manifests], tuple(map(Manifest.read, manifests))


def verdicts(summaries, manifests):
    return {one.name[1]: one.verdict for one in differences(*summaries, manifests)}


def test_a_cell_that_fell_beyond_noise_is_changed_and_the_others_are_the_same(tmp_path):
    found = both(tmp_path, {"d0": True, "e0": True, "m0": False})
    assert verdicts(*found) == {"dense": "same", "dense_repeat": "same", "snapkv (25%)": "changed"}
    (changed,) = [one for one in differences(*found[0], found[1]) if one.verdict == "changed"]
    assert (changed.first, changed.second, changed.difference.estimate, changed.contexts) == (100, 50, -50, 12)
    assert changed.causes == ()


def test_a_difference_no_larger_than_denses_own_is_noise(tmp_path):
    found = both(tmp_path, {"d0": True, "e0": False, "m0": False})
    assert verdicts(*found)["snapkv (25%)"] == "noise"


@pytest.mark.parametrize(
    ("low", "high", "noise", "p", "verdict"),
    [
        (-9.0, -3.0, 2.0, 0.01, "changed"),
        (-9.0, -1.0, 2.0, 0.01, "noise"),
        (1.0, 9.0, 2.0, 0.01, "noise"),
        (-1.0, 9.0, math.nan, 0.3, "unknown"),
        (3.0, 9.0, math.nan, 0.01, "changed"),
        (3.0, 9.0, 2.0, 0.06, "unknown"),
    ],
)
def test_a_difference_is_noise_only_where_its_interval_reaches_the_noise(low, high, noise, p, verdict):
    interval = Interval((low + high) / 2, low, high)
    one = CellDifference(("",) * 5, 0.0, 0.0, interval, 12, False, noise, (), p)
    assert one.verdict == verdict


def test_denses_noise_is_the_difference_of_its_means(tmp_path):
    mixed = [[True, False], [False, True]]
    cells = {"d0": cell(), "e0": cell("dense_repeat")}
    records = [answers(name, f"s{place}", mixed[(place + (name == "e0")) % 2]) for name in cells for place in range(12)]
    manifest = write_sweep(tmp_path, cells, records, [f"s{place}" for place in range(12)])
    score_sweep(manifest)
    found = differences(*[read_summary(manifest)] * 2, (Manifest.read(manifest),) * 2)
    assert {one.noise for one in found} == {0}


def test_why_a_cell_differs_is_said(tmp_path):
    renamed = {"d0": CELLS["d0"], "m1": cell("snapkv", budget=0.25, options={"window": 8})}
    summaries, manifests = both(tmp_path, {"d0": True, "m1": False}, renamed)
    other = dataclasses.replace(manifests[1], hashes={"m1": {"method": "ff"}})
    (one,) = [one for one in differences(*summaries, (manifests[0], other)) if one.causes]
    assert one.causes == ("methods.0.options.window: none → 8", "method: none → ff")
    assert only(*summaries) == (["tiny · dense_repeat · multi_turn · Retr.KV (gen)"], [])


def test_the_same_cell_is_found_whatever_else_a_sweep_has(tmp_path):
    """One more length, history or option changes what tables call a cell, and not what it is."""
    mine = {"d0": cell(), "m0": cell("snapkv", budget=0.25, options={"window": 4})}
    more = {
        "d1": cell(task_options={"length": 1024}),
        "d2": cell(history="generated"),
        "m1": cell("snapkv", budget=0.25, options={"window": 8}),
    }
    summaries, manifests = [], []
    for name, cells in (("a", mine), ("b", mine | more)):
        records = [answers(one, session, [True, False]) for one in cells for session in SESSIONS]
        manifest = write_sweep(tmp_path / name, cells, records, SESSIONS)
        score_sweep(manifest)
        summaries.append(read_summary(manifest))
        manifests.append(Manifest.read(manifest))
    found = differences(*summaries, tuple(manifests))
    assert len(found) == 2 and {one.verdict for one in found} == {"same"} and not any(one.causes for one in found)
    assert [len(names) for names in only(*summaries)] == [0, 3]
    back = differences(*reversed(summaries), tuple(reversed(manifests)))
    assert {one.verdict for one in back} == {"same"} and len(back) == 2


def test_other_contents_are_not_compared(tmp_path):
    """Ids and documents can be the same where questions are others."""
    summaries, manifests = both(tmp_path, {"d0": True, "e0": True, "m0": True})
    for file in set(summaries[1].sweep.files.values()):
        file.write_text(file.read_text().replace("question 2", "another question"))
    assert set(verdicts(summaries, manifests).values()) == {"unknown"}


def test_the_same_contents_are_compared_whatever_their_documents_share_with_others(tmp_path):
    found = both(tmp_path, {"d0": True, "e0": True, "m0": True}, documents=("aa", "another"))
    assert set(verdicts(*found).values()) == {"same"}


def test_the_command_prints_the_difference(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    _, manifests = both(tmp_path, {"d0": True, "e0": True, "m0": False})
    found = printed(capsys, "diff", *(manifest.folder for manifest in manifests))
    assert "3 cells in both: 2 same, 1 changed" in found
    assert json.loads(manifests[0].path.read_text())["sweep"] == "trial"
