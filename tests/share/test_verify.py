"""Packing and verifying a sweep: what is honest holds, and what was edited is named."""

import hashlib
import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from scbench.cli import main
from scbench.errors import ScbenchError
from scbench.grid.cells import fingerprint
from scbench.results.scores import score_sweep
from scbench.results.store import CellStore
from scbench.results.tables import tables_sweep
from scbench.share.archive import SUMS, ArchiveRefused
from scbench.share.pack import pack
from scbench.share.verify import verify
from sweep_builder import answers, cell, write_sweep

CONF = Path(__file__).parents[2] / "conf"
CELLS = {"aa": cell(), "bb": cell("streaming_llm", budget=0.25), "cc": cell(mode="multi_request")}
RECORDS = [
    answers("aa", "s0", [True, False]),
    answers("aa", "s1", [True, True]),
    answers("bb", "s0", [False, True]),
    answers("bb", "s1", [False, False]),
    answers("cc", "s0", [True, True]),
]


def real(asked):
    """The cell with the classes that its methods really have."""
    targets = (yaml.safe_load((CONF / "method" / f"{m.name}.yaml").read_text())["_target_"] for m in asked.methods)
    return replace(asked, methods=tuple(replace(m, target=t) for m, t in zip(asked.methods, targets, strict=True)))


def name_of(asked):
    return fingerprint(real(asked), {})


def scored(root, cells=CELLS, records=RECORDS, failed=None, **options):
    """A scored sweep whose cells have the names that are theirs, instead of the short ones of `cells`."""
    names = {short: name_of(asked) for short, asked in cells.items()}
    manifest = write_sweep(
        root,
        {names[short]: real(asked) for short, asked in cells.items()},
        [[replace(record, cell=names[record.cell]) for record in session] for session in records],
        failed={names[short]: reason for short, reason in (failed or {}).items()},
        **options,
    )
    score_sweep(manifest)
    tables_sweep(manifest)
    return manifest


@pytest.fixture
def manifest(tmp_path):
    return scored(tmp_path / "results")


AA, BB, CC = map(name_of, CELLS.values())


def rewritten(archive, output, change, more=None):
    """The archive after `change` (name, content) -> content, with files `more` by name, with checksums that fit."""
    with zipfile.ZipFile(archive) as file:
        files = {name: change(name, file.read(name)) for name in file.namelist() if name != SUMS} | (more or {})
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items())
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in {**files, SUMS: sums.encode()}.items():
            file.writestr(name, content)
    return output


def test_an_archive_holds_and_is_the_same_every_time(manifest, tmp_path, capsys):
    packed = pack(manifest)
    assert packed.path == manifest.parents[1] / "trial.zip"
    first = packed.path.read_bytes()
    with CellStore(manifest.parents[1], AA).writer(wait=0) as writer:
        writer.append(answers(AA, "s7", [True, True]))  # of another sweep
    assert pack(manifest, tmp_path / "again.zip").path.read_bytes() == first
    verdict = verify(packed.path)
    assert (verdict.holds, verdict.records, verdict.digest) == (True, 10, packed.digest)
    assert main(["verify", str(packed.path)]) == 0
    said = capsys.readouterr().out
    assert f"sha256 {packed.digest}" in said and "from 10 records" in said
    with zipfile.ZipFile(packed.path) as file:
        names = file.namelist()
        sessions = [json.loads(line) for line in file.read(f"sessions/src-{AA}.jsonl").splitlines()]
    assert {"trial/manifest.json", "trial/tables/cells.csv", "trial/scores.csv", "provenance.json"} <= set(names)
    assert {f"cells/{BB}/0.jsonl", f"cells/{BB}/cell.json", f"trial/stamps/f-{AA}.json", "envs/core.txt"} <= set(names)
    assert [set(row) for row in sessions] == [{"id", "sha256"}] * 2  # not their texts


def test_an_edited_number_is_named_by_table_row_and_column(manifest, tmp_path, capsys):
    archive = pack(manifest).path

    def better(name, content):
        return content.replace(b",75.0,", b",85.0,", 1) if name == "trial/tables/cells.csv" else content

    edited = rewritten(archive, tmp_path / "edited.zip", better)
    (line,) = verify(edited).differences
    assert line.startswith("tables/cells.csv, row 1 (") and line.endswith("column strict: '85.0', and '75.0' follows")
    assert main(["verify", str(edited)]) == 1
    said = capsys.readouterr().out
    assert line in said and "not verified: 1 lines do not follow" in said


def test_an_edited_record_shows_in_every_table_that_has_it(manifest, tmp_path):
    def right(name, content):
        return (
            content.replace(b'"prediction": "another"', b'"prediction": "the-value"') if f"{BB}/0" in name else content
        )

    lines = verify(rewritten(pack(manifest).path, tmp_path / "edited.zip", right)).differences
    files = {line.partition(",")[0].partition(":")[0] for line in lines}
    assert {"scores.csv", "tables/cells.csv", "tables/scores_multi_turn.csv", "tables/cells.md"} <= files


def test_rows_columns_and_tables_that_do_not_follow_are_named(manifest, tmp_path):
    archive = pack(manifest).path

    def change(name, content):
        if name == "trial/scores.csv":
            return content.rsplit(b"\n", 2)[0] + b"\n"
        return content.replace(b"strict", b"score", 1) if name == "trial/tables/turns_multi_turn.csv" else content

    lines = verify(rewritten(archive, tmp_path / "edited.zip", change)).differences
    assert any(line.startswith("scores.csv: it has 9 rows, and 10 follow") for line in lines)
    with zipfile.ZipFile(archive) as file:
        names = file.namelist()
    shutil.copy(archive, tmp_path / "more.zip")
    more = rewritten(archive, tmp_path / "more.zip", lambda name, content: content)
    with zipfile.ZipFile(more) as file:
        files = {name: file.read(name) for name in file.namelist() if name != SUMS}
    files["trial/tables/wishes.csv"] = files.pop("trial/tables/costs.csv")
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items())
    with zipfile.ZipFile(more, "w") as file:
        for name, content in {**files, SUMS: sums.encode()}.items():
            file.writestr(name, content)
    lines = verify(more).differences
    assert "tables/wishes.csv: no such table follows from the records" in lines
    assert "tables/costs.csv: it follows from the records and is not there" in lines
    assert len(names) == len(files) + 1


def test_tables_older_than_the_records_are_not_packed(manifest):
    with CellStore(manifest.parents[1], CC).writer(wait=0) as writer:
        writer.append(answers(CC, "s1", [False, False]))
    with pytest.raises(ScbenchError, match="its tables are not those of its records"):
        pack(manifest)
    assert not list(manifest.parents[1].glob("*.zip*")) and not list(manifest.parents[1].glob(".*zip"))


def test_a_sweep_that_is_not_scored_is_not_packed(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_sweep(tmp_path / "results", CELLS, RECORDS)
    assert main(["pack", "trial"]) == 2
    assert "has no scores.csv; run the sweep to its end" in capsys.readouterr().err
    assert main(["pack", "trail"]) == 2
    assert "there is no sweep 'trail'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda m: m | {"sweep": "../../outside"}, "names a place outside it"),
        (lambda m: m | {"sweep": "other"}, "names a place outside it"),
        (lambda m: m | {"sources": {"../../etc": m["sources"][f"src-{AA}"]}}, "names a place outside it"),
        (lambda m: m | {"families": [f | {"id": "/elsewhere/x"} for f in m["families"]]}, "names a place outside it"),
        (lambda m: m | {"cells": {"../aa": m["cells"][AA]}}, "names a place outside it"),
        (lambda m: m | {"cells": 5}, "its manifest is none of this version"),
        (lambda m: m | {"cells": {AA: m["cells"][AA] | {"mode": {}}}}, "its manifest is none of this version"),
    ],
)
def test_a_manifest_that_names_other_places_is_refused(change, match, manifest, tmp_path):
    def changed(name, content):
        return json.dumps(change(json.loads(content))).encode() if name.endswith("manifest.json") else content

    with pytest.raises(ArchiveRefused, match=match):
        verify(rewritten(pack(manifest).path, tmp_path / "edited.zip", changed))
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize(
    "target", ["os.system", "scbench.cli.main", "scbench.tasks.__import__('os').x", "antigravity.x"]
)
def test_code_of_others_is_not_imported(target, manifest, tmp_path, monkeypatch):
    monkeypatch.setattr("scbench.config.cell.importlib.import_module", lambda name: pytest.fail(f"{name} imported"))

    def changed(name, content):
        return content.replace(b"scbench.tasks.retr_kv.RetrKV", target.encode()) if "manifest" in name else content

    archive = manifest.parents[1] / "trial.zip"
    monkeypatch.undo()
    pack(manifest)
    monkeypatch.setattr("scbench.config.cell.importlib.import_module", lambda name: pytest.fail(f"{name} imported"))
    with pytest.raises(ArchiveRefused, match="names code outside scbench"):
        verify(rewritten(archive, tmp_path / "edited.zip", changed))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (f"cells/{AA}/0.jsonl", b'{"cell": "aa"}\n' * 2),
        (f"cells/{AA}/0.jsonl", b"[" * 100_000 + b"\n\n"),
        (f"sessions/src-{AA}.jsonl", b"[1]\n"),
        (f"trial/stamps/f-{AA}.json", b"[]"),
    ],
)
def test_records_of_another_shape_are_one_line(name, content, manifest, tmp_path):
    edited = rewritten(pack(manifest).path, tmp_path / "edited.zip", lambda n, c: content if n == name else c)
    with pytest.raises(ArchiveRefused, match=r"^[^\n]* is refused: [^\n]*$"):
        verify(edited)


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("provenance.json", b"[", b"[ ", "its text does not follow from the manifest and the records"),
        (f"cells/{AA}/cell.json", b'"chunk": 64', b'"chunk": 65', "its text does not follow"),
        (
            "trial/manifest.json",
            b'"query": "aware"',
            b'"query": "free"',
            "what the manifest says of the cell has the name",
        ),
    ],
)
def test_what_was_asked_cannot_be_edited(name, old, new, said, manifest, tmp_path, capsys):
    def edit(path, content):
        return content.replace(old, new) if path == name else content

    edited = rewritten(pack(manifest).path, tmp_path / "edited.zip", edit)
    assert any(said in line for line in verify(edited).differences)
    assert main(["verify", str(edited)]) == 1


@pytest.mark.parametrize(
    "name", ["README.txt", "trial/RESULTS.md", "scores.csv", "trial/tables/sum.txt", "cells/a/1.jsonl"]
)
def test_files_that_no_sweep_has_are_named(name, manifest, tmp_path):
    """They could say anything under the seal of a verified archive."""
    more = rewritten(pack(manifest).path, tmp_path / "more.zip", lambda _, old: old, {name: b"100 % everywhere"})
    assert verify(more).differences == (f"{name}: no file of a packed sweep",)


@pytest.mark.parametrize("content", [b"{}", b'{"format": 2, "scbench": "9.9"}', b"\xff"])
def test_another_format_is_refused(content, manifest, tmp_path):
    edited = rewritten(
        pack(manifest).path, tmp_path / "edited.zip", lambda name, old: content if name == "archive.json" else old
    )
    with pytest.raises(ArchiveRefused, match=r"is refused: (its format is 2 |it has no archive\.json that)"):
        verify(edited)


def test_the_verdict_says_what_was_not_checked(manifest, tmp_path, capsys):
    archive = pack(manifest).path
    main(["verify", str(archive)])
    assert "not checked: envs/core.txt, sessions/\n" in capsys.readouterr().out
    older = rewritten(archive, tmp_path / "older.zip", drawn_by("0.1"))
    main(["verify", str(older)])
    said = capsys.readouterr().out
    assert "drawn by other versions" in said and "not checked: envs/core.txt, sessions/, report.html, figures" in said


def drawn_by(version, edit=lambda name, old: old):
    def change(name, old):
        if name != "archive.json":
            return edit(name, old)
        data = json.loads(old)
        data["drawn_with"] = {**data["drawn_with"], **({"matplotlib": version} if version else {})}
        return json.dumps(data).encode()

    return change


def test_an_edited_report_or_figure_is_named(manifest, tmp_path):
    archive = pack(manifest).path
    with zipfile.ZipFile(archive) as file:
        names = [name for name in file.namelist() if name.endswith((".svg", "report.html"))]
    assert "trial/report.html" in names and len(names) > 1
    for name in names[:2]:
        edited = rewritten(
            archive, tmp_path / "edited.zip", lambda one, old, its=name: old + b" " if one == its else old
        )
        assert verify(edited).differences == (f"{name}: it is not what follows from the records",)
        elsewhere = rewritten(
            archive, tmp_path / "old.zip", drawn_by("0.1", lambda one, old, its=name: old + b" " if one == its else old)
        )
        assert verify(elsewhere).holds and len(verify(elsewhere).unchecked) == 4


def test_what_stands_behind_the_records_is_named(manifest, tmp_path):
    name = f"cells/{AA}/0.jsonl"
    edited = rewritten(
        pack(manifest).path, tmp_path / "edited.zip", lambda one, old: old + b'{"session": "s9' if one == name else old
    )
    assert verify(edited).differences == (f"{name}: it has more than the records of the sweep's sessions",)


def test_a_figure_that_no_sweep_has_is_named_whoever_drew_it(manifest, tmp_path):
    extra = {"trial/figures/extra.html": b"<script>alert(1)</script>"}
    more = rewritten(pack(manifest).path, tmp_path / "more.zip", drawn_by("0.1"), extra)
    assert verify(more).differences == ("trial/figures/extra.html: no figure of the sweep",)


def hostile_table(content):
    return lambda name, old: content if name == "trial/tables/cells.csv" else old


UNREADABLE = {"bytes": b"mode,task\n\xff\xfe\n", "field": b'"' + b"x" * ((1 << 26) + 1) + b'"\n'}


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE)
def test_a_table_that_cannot_be_read_is_one_line(content, manifest, tmp_path, capsys):
    edited = rewritten(pack(manifest).path, tmp_path / "edited.zip", hostile_table(content))
    with pytest.raises(ArchiveRefused, match=r"^[^\n]* is refused: [^\n]*its tables not be read[^\n]*$"):
        verify(edited)
    assert main(["verify", str(edited)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_folder_in_the_place_of_a_table_is_one_line(manifest, tmp_path):
    archive = pack(manifest).path
    with zipfile.ZipFile(archive) as file:
        files = {name: file.read(name) for name in file.namelist() if name != SUMS}
    files["trial/tables/x.csv/y.json"] = b"{}"
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items())
    with zipfile.ZipFile(tmp_path / "edited.zip", "w") as file:
        for name, content in {**files, SUMS: sums.encode()}.items():
            file.writestr(name, content)
    with pytest.raises(ArchiveRefused, match=r"^[^\n]* is refused: [^\n]*$"):
        verify(tmp_path / "edited.zip")


def test_a_hostile_prediction_goes_through(tmp_path):
    nasty = '=cmd|"/C calc"!A0\r\n<script>alert(1)</script>\u202e' + "x" * 100_000 + "\x00\ud800"
    records = [answers("aa", "s0", [True, True], prediction=nasty), answers("aa", "s1", [True, False], detail=nasty)]
    manifest = scored(tmp_path / "results", {"aa": CELLS["aa"]}, records)
    assert verify(pack(manifest).path).holds


def test_a_cell_that_failed_whole_is_packed_with_its_reason(tmp_path):
    manifest = scored(tmp_path / "results", {**CELLS, "dd": cell(model="gone")}, RECORDS, failed={"dd": "no model"})
    assert verify(pack(manifest).path).holds
