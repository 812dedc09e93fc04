"""Archives: the same every time, and refused where they are not what they should be."""

import hashlib
import os
import stat
import zipfile

import pytest

from scbench.errors import ScbenchError
from scbench.share import archive as archives
from scbench.share.archive import SUMS, ArchiveRefused, unpack, write_archive

FILES = {"trial/manifest.json": b"{}", "cells/aa/0.jsonl": b"line\n" * 99}


def made(path, files=FILES, sums=None, links=()):
    """An archive as anybody could write one."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = ((stat.S_IFLNK if name in links else stat.S_IFREG) | 0o644) << 16
            file.writestr(entry, content)
        if sums is None:
            sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items())
        file.writestr(SUMS, sums)
    return path


def refused(path, tmp_path, match):
    inside = tmp_path / "deep" / "folder"
    with pytest.raises(ArchiveRefused, match=match) as caught:
        unpack(path, inside)
    assert "\n" not in str(caught.value)
    outside = [p for p in tmp_path.rglob("*") if p.is_file() and p != path and not p.is_relative_to(inside)]
    assert outside == []


def test_what_is_written_is_unpacked_and_the_same_every_time(tmp_path):
    one, two = tmp_path / "one.zip", tmp_path / "two.zip"
    write_archive(one, FILES.items())
    os.utime(tmp_path, (0, 0))
    write_archive(two, FILES.items())
    assert one.read_bytes() == two.read_bytes()
    unpacked = unpack(one, tmp_path / "folder")
    assert {name: (tmp_path / "folder" / name).read_bytes() for name in unpacked.names} == FILES
    with zipfile.ZipFile(one) as file:
        assert unpacked.digest == hashlib.sha256(file.read(SUMS)).hexdigest()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "one.zip", "two.zip"]  # no draft


@pytest.mark.parametrize(
    "name",
    [
        "/etc/own.json", "../own.json", "trial/../../own.json", "..\\own.json", "C:own.json", "trial/./own.json",
        "trial//own.json", "~/own.json", ".hidden.json", "trial/\x1b[2J.json", "trial/line\n.json",
        "a/b/c/d/e/f/g.json",
    ],
)  # fmt: skip
def test_a_path_that_leads_elsewhere_is_refused(name, tmp_path):
    refused(made(tmp_path / "a.zip", {**FILES, name: b"{}"}), tmp_path, "is refused: .* (leads out|is no name)")


@pytest.mark.parametrize("name", ["trial/run.py", "trial/code.so", "trial/frame.parquet", "trial/none", "trial/a.pkl"])
def test_only_kinds_of_files_that_hold_data_are_unpacked(name, tmp_path):
    refused(made(tmp_path / "a.zip", {**FILES, name: b"{}"}), tmp_path, "a kind that an archive does not have")


def test_links_are_refused(tmp_path):
    files = {**FILES, "trial/link.json": b"/etc/passwd"}
    refused(made(tmp_path / "a.zip", files, links=["trial/link.json"]), tmp_path, "is no plain file")


def test_what_is_not_as_listed_is_refused(tmp_path):
    path, sums = tmp_path / "a.zip", {n: f"{hashlib.sha256(c).hexdigest()}  {n}\n" for n, c in FILES.items()}
    every = "".join(sums.values())
    changed = {**FILES, "cells/aa/0.jsonl": b"line\n" * 98 + b"lime\n"}
    refused(made(path, changed, every), tmp_path, "'cells/aa/0.jsonl' was changed")
    refused(made(path, {**FILES, "more.json": b"{}"}, every), tmp_path, "'more.json' is not on its list")
    refused(made(path, {"trial/manifest.json": b"{}"}, every), tmp_path, "'cells/aa/0.jsonl' is on its list")
    refused(made(path, FILES, every + "no line\n"), tmp_path, "has the line 'no line'")
    refused(made(path, FILES, every + every), tmp_path, "has the line")


def test_names_that_differ_in_case_alone_are_refused(tmp_path):
    refused(made(tmp_path / "a.zip", {**FILES, "cells/AA/0.jsonl": b""}), tmp_path, "have the same name")


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "SMALL", 1 << 20)
    path = made(tmp_path / "a.zip", {**FILES, "cells/bb/0.jsonl": bytes(5 << 20)})
    assert path.stat().st_size < 10_000
    refused(path, tmp_path, "unpacks to more than 1 MiB")
    monkeypatch.setattr(archives, "FILES", 2)
    refused(path, tmp_path, "it has 4 files")


def test_an_entry_that_lies_about_its_size_is_refused(tmp_path):
    path = made(tmp_path / "a.zip", {**FILES, "cells/bb/0.jsonl": bytes(1 << 20)})
    content = path.read_bytes()
    lie = content.replace((1 << 20).to_bytes(4, "little"), (99).to_bytes(4, "little"))
    assert lie != content
    path.write_bytes(lie)
    refused(path, tmp_path, "is no whole zip archive")


@pytest.mark.parametrize("cut", [0, 10, 200, -1])
def test_a_broken_file_is_refused(cut, tmp_path):
    path = made(tmp_path / "a.zip")
    path.write_bytes(path.read_bytes()[:cut])
    refused(path, tmp_path, "is no whole zip archive")


def test_any_flipped_byte_is_noticed_or_changes_nothing(tmp_path):
    path = tmp_path / "a.zip"
    write_archive(path, FILES.items())
    content, digest = path.read_bytes(), unpack(path, tmp_path / "whole").digest
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x41]) + content[place + 1 :])
        try:
            unpacked = unpack(path, tmp_path / f"at{place}")
        except ScbenchError:
            continue
        assert {name: (tmp_path / f"at{place}" / name).read_bytes() for name in unpacked.names} == FILES
        assert unpacked.digest == digest


def test_a_file_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(ScbenchError, match=r"^.*none\.zip cannot be read: No such file"):
        unpack(tmp_path / "none.zip", tmp_path / "folder")
