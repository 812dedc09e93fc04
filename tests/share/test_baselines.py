"""Archives beside a sweep: only what verifies, and only where the sessions are the same."""

import json
from dataclasses import replace

import pytest
from test_verify import UNREADABLE, hostile_table, name_of, rewritten, scored

from scbench.cli import main
from scbench.errors import ScbenchError
from scbench.results.files import write_text_atomic
from scbench.results.scores import score_sweep
from scbench.results.session_hashes import fingerprints, hashed
from scbench.results.summary import read_summary
from scbench.results.tables import tables_sweep
from scbench.share.baselines import OWN, baselines, beside, not_comparable
from scbench.share.pack import pack
from sweep_builder import answers, cell

OWN_CELLS = {"aa": cell(), "bb": cell(task="math_find")}
OWN_RECORDS = [answers(name, s, [True, False]) for name in OWN_CELLS for s in ("s0", "s1")]


def archive(folder, name, cells, records, change=None):
    """An archive of a sweep of somebody else's; `change` edits its sessions files before it is scored."""
    manifest = scored(folder.parent / f"of {name}", cells, records)
    for path in (manifest.parents[1] / "sessions").iterdir():
        if change is not None:
            write_text_atomic(path, change(path.read_text()))
    score_sweep(manifest)
    tables_sweep(manifest)
    return pack(manifest, folder / f"{name}.zip")


@pytest.fixture
def own(tmp_path):
    return scored(tmp_path / "results", OWN_CELLS, OWN_RECORDS)


def test_rows_stand_beside_where_the_sessions_are_the_same(own, tmp_path, capsys):
    folder = tmp_path / "registry"
    cells = {"xx": cell("snapkv", model="other"), "yy": cell("snapkv", mode="multi_request"), "zz": cell(task="en_qa")}
    records = [answers(name, s, [True, True]) for name in cells for s in ("s0", "s1")]
    theirs = archive(folder, "theirs", cells, records)
    other = archive(folder, "others", cells, records, lambda text: text.replace("\\u2026", "another text"))
    found = baselines(folder, own)
    assert [(b.name, b.digest, b.comparable) for b in found.found] == [
        ("others", other.digest, ()),
        ("theirs", theirs.digest, (name_of(cells["xx"]),)),
    ]
    table = beside(read_summary(own), found)
    assert [(row[1], row[3], row[4], row[5]) for row in table.rows] == [
        ("Retr.KV (gen)", "dense", OWN, 50.0),
        ("Retr.KV (gen)", "snapkv", f"theirs ({theirs.digest[:12]})", 100.0),
        ("Math.Find (gen)", "dense", OWN, 0.0),
    ]
    assert not_comparable(found) == [
        f"others ({other.digest[:12]}): not comparable, its sessions are others: "
        "Retr.KV (gen), multi_turn; Retr.KV (gen), multi_request",
        f"others ({other.digest[:12]}): not comparable, this sweep does not have the task: En.QA (gen), multi_turn",
        f"theirs ({theirs.digest[:12]}): not comparable, this sweep does not ask it as multi_request: "
        "Retr.KV (gen), multi_request",
        f"theirs ({theirs.digest[:12]}): not comparable, this sweep does not have the task: En.QA (gen), multi_turn",
    ]
    assert main(["show", "--manifest", str(own), "--with-baselines", str(folder)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert theirs.digest[:12] in said and "its sessions are others" in said


OTHERWISE = {"history": "generated", "prompt_style": "ref", "fit": "middle", "max_turns": 2}


@pytest.mark.parametrize("setting", OTHERWISE)
def test_another_setting_is_another_question(setting, own, tmp_path):
    asked = replace(cell("snapkv"), **{setting: OTHERWISE[setting]})
    archive(tmp_path / "registry", "theirs", {"xx": asked}, [answers("xx", s, [True, True]) for s in ("s0", "s1")])
    found = baselines(tmp_path / "registry", own)
    assert found.found[0].comparable == ()
    said = "of 2 turns" if setting == "max_turns" else f"{setting}={OTHERWISE[setting]}"
    assert "this sweep does not ask it as multi_turn" in not_comparable(found)[0] and said in not_comparable(found)[0]


def test_sessions_are_the_same_under_other_names_and_the_setting_stands_in_the_row(tmp_path):
    asked = replace(cell(), history="generated")
    records = [answers("aa", s, [True, False]) for s in ("s0", "s1")]
    own = scored(tmp_path / "results", {"aa": asked}, records)
    renamed = [answers("xx", s, [True, True]) for s in ("n0", "n1")]
    theirs = {"xx": replace(cell("snapkv"), history="generated")}
    manifest = scored(tmp_path / "theirs", theirs, renamed, sessions=("n0", "n1"))
    for path in (manifest.parents[1] / "sessions").iterdir():
        write_text_atomic(path, path.read_text().replace("of n", "of s"))
    pack(manifest, tmp_path / "registry" / "theirs.zip")
    found = baselines(tmp_path / "registry", own)
    assert len(found.found[0].comparable) == 1
    assert [row[0] for row in beside(read_summary(own), found).rows] == ["multi_turn, history=generated"] * 2


def test_an_archive_that_left_sessions_out_does_not_stand_beside(own, tmp_path):
    """Whoever leaves out the hard ones has the better mean."""
    made = archive(tmp_path / "registry", "easy", {"xx": cell("snapkv")}, [answers("xx", "s0", [True, True])])
    found = baselines(tmp_path / "registry", own)
    assert found.found[0].comparable == ()
    assert not_comparable(found) == [
        f"easy ({made.digest[:12]}): not comparable, it has records of 1 of 2 sessions: Retr.KV (gen), multi_turn"
    ]


def test_other_gold_answers_are_named(own, tmp_path):
    edited = [answers("xx", s, [True, True], prediction="mine", gold="mine") for s in ("s0", "s1")]
    archive(tmp_path / "registry", "theirs", {"xx": cell("snapkv")}, edited)
    found = baselines(tmp_path / "registry", own)
    assert found.found[0].comparable == ()
    assert "gold answers in its records are not those of the sessions here" in not_comparable(found)[0]


@pytest.mark.parametrize("chosen", [("--by", "turn"), ("--cell", "dense")])
def test_baselines_do_not_go_with_a_part_of_the_sweep(chosen, own, tmp_path, capsys):
    assert main(["show", "--manifest", str(own), *chosen, "--with-baselines", str(tmp_path)]) == 2
    assert "leave --by and --cell out" in capsys.readouterr().err


def test_an_archive_that_does_not_verify_is_named_and_left_out(own, tmp_path):
    folder = tmp_path / "registry"
    good = archive(folder, "good", {"xx": cell("snapkv")}, [answers("xx", s, [True, True]) for s in ("s0", "s1")])
    rewritten(good.path, folder / "edited.zip", lambda n, c: c.replace(b",100.0,", b",101.0,"))
    (folder / "broken.zip").write_bytes(b"nothing")
    found = baselines(folder, own)
    assert [base.name for base in found.found] == ["good"]
    assert set(found.refused) == {"edited.zip", "broken.zip"}
    assert "do not follow from its records: tables/cells.csv" in found.refused["edited.zip"]
    with pytest.raises(ScbenchError, match="has no archives; `scbench pack` makes them"):
        baselines(tmp_path, own)


def test_an_archive_with_an_unreadable_table_takes_no_other_down(own, tmp_path):
    folder = tmp_path / "registry"
    good = archive(folder, "good", {"xx": cell("snapkv")}, [answers("xx", s, [True, True]) for s in ("s0", "s1")])
    for name, content in UNREADABLE.items():
        rewritten(good.path, folder / f"{name}.zip", hostile_table(content))
    found = baselines(folder, own)
    assert [base.name for base in found.found] == ["good"]
    assert [line.partition(": ")[0] for line in not_comparable(found)] == ["bytes.zip", "field.zip"]


def test_a_session_is_named_by_its_content_and_not_by_where_it_lies(tmp_path):
    row = {"id": "s0", "context": "text", "turns": [{"question": "q", "answer": "a"}], "place": "/home/me/data.jsonl:3"}
    path, other = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    path.write_text(json.dumps(row) + "\n")
    other.write_text(json.dumps({**row, "place": "elsewhere", "id": "s1"}) + "\n")
    assert fingerprints(path)["s0"] == fingerprints(other)["s1"]
    other.write_text(json.dumps({**row, "turns": [{"question": "q", "answer": "b"}]}) + "\n")
    assert fingerprints(path)["s0"] != fingerprints(other)["s0"]
    other.write_bytes(hashed(path))
    assert fingerprints(other) == fingerprints(path)
    assert b"text" not in hashed(path)
    path.write_text(json.dumps({"error": "no data"}) + "\n")
    assert fingerprints(path) == {} and json.loads(hashed(path)) == {"error": "no data"}
