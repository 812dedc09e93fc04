"""The archive: a zip file with a list of checksums, written the same every time and read with distrust."""

from __future__ import annotations

import hashlib
import re
import stat
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from scbench.errors import ScbenchError

SUMS = "SHA256SUMS"
DESCRIPTION = "archive.json"
FORMAT = 1
LOCK = "envs/core.txt"
SUFFIXES = frozenset({".json", ".jsonl", ".csv", ".md", ".tex", ".html", ".svg", ".pdf", ".png", ".txt"})
FILES = 100_000
SMALL = 256 << 20  # bytes that every archive may unpack to
RATIO = 200  # times its own size that a larger one may
LARGE = 64 << 30  # bytes that none may
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip file knows
_PART = re.compile(r"[\w+=,@-][\w.+=,@-]*", re.ASCII)
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


class ArchiveRefused(ScbenchError):
    """An archive that is not what it should be, and is not unpacked."""


@dataclass(frozen=True)
class Unpacked:
    """An archive whose files all have their checksums, unpacked into `folder`.

    `digest` names its content: the SHA-256 of the list of checksums, however the files were compressed.
    """

    folder: Path
    digest: str
    names: tuple[str, ...]


def write_archive(path: Path, files: Iterable[tuple[str, bytes]]) -> str:
    """Write the files (name, content), in this order, and their checksums; gives the digest.

    The file is the same for the same files, whenever and wherever it is made. It is there whole or not at all; raises
    `ScbenchError` where the disk refuses.
    """
    draft, sums = path.with_name(f".{path.name}.part"), dict[str, str]()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as file:
            for name, content in files:
                sums[name] = hashlib.sha256(content).hexdigest()
                file.writestr(_entry(name), content)
            listed = "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)).encode()
            file.writestr(_entry(SUMS), listed)
        draft.replace(path)
        return hashlib.sha256(listed).hexdigest()
    except OSError as error:
        raise ScbenchError(f"cannot write {path}: {error.strerror}; free space or choose another folder") from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def unpack(path: Path, folder: Path) -> Unpacked:
    """Unpack an archive into an empty folder; nothing of it is written outside, and nothing is run.

    Raises `ArchiveRefused` for anything but plain files below the archive's own folder that are on its list, each once
    and with its checksum, of kinds that it may have, and no larger than its size allows.
    """
    try:
        with zipfile.ZipFile(path) as file:
            return _unpack(file, path, folder)
    except OSError as error:
        raise ScbenchError(f"{path} cannot be read: {error.strerror or error}") from error
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        NotImplementedError,
        RuntimeError,
        EOFError,
        ValueError,
        zlib.error,
    ) as error:
        raise ArchiveRefused(f"{path} is refused: it is no whole zip archive ({error})") from error


def _unpack(file: zipfile.ZipFile, path: Path, folder: Path) -> Unpacked:
    entries = file.infolist()
    for entry in entries:
        reason = _objection(entry)
        if reason is not None:
            raise ArchiveRefused(f"{path} is refused: {entry.filename!r} {reason}")
    names = [entry.filename for entry in entries]
    if len(names) > FILES:
        raise ArchiveRefused(f"{path} is refused: it has {len(names)} files, and {FILES} are the most")
    twice = {name.lower() for name in names}
    if len(twice) < len(names):
        raise ArchiveRefused(f"{path} is refused: two of its files have the same name")
    if SUMS not in names:
        raise ArchiveRefused(f"{path} is refused: it has no {SUMS}; `scbench pack` makes archives")
    allowed = min(LARGE, max(SMALL, RATIO * path.stat().st_size))
    if sum(entry.file_size for entry in entries) > allowed:
        raise ArchiveRefused(f"{path} is refused: it unpacks to more than {allowed >> 20} MiB")
    listed = _read(file, SUMS)
    sums = _sums(listed, path)
    for name in names:
        if name != SUMS and name not in sums:
            raise ArchiveRefused(f"{path} is refused: {name!r} is not on its list of checksums")
    for name, wanted in sums.items():
        if name not in names:
            raise ArchiveRefused(f"{path} is refused: {name!r} is on its list of checksums and not there")
        content = _read(file, name)
        if hashlib.sha256(content).hexdigest() != wanted:
            raise ArchiveRefused(f"{path} is refused: {name!r} was changed, its checksum is another")
        target = folder.joinpath(*PurePosixPath(name).parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return Unpacked(folder, hashlib.sha256(listed).hexdigest(), tuple(sorted(sums)))


def _read(file: zipfile.ZipFile, name: str) -> bytes:
    """A file's content; zipfile itself reads no more than the size that the entry claims."""
    return file.read(name)


def _objection(entry: zipfile.ZipInfo) -> str | None:
    name, kind = entry.orig_filename, stat.S_IFMT(entry.external_attr >> 16)
    parts = name.split("/")
    if kind not in (0, stat.S_IFREG):
        return "is no plain file"
    if name.startswith("/") or "\\" in name or ":" in name or ".." in parts:
        return "leads out of the archive's folder"
    if not all(_PART.fullmatch(part) and len(part) < 200 for part in parts) or len(parts) > 6:
        return "is no name that an archive may have"
    if name != SUMS and PurePosixPath(name).suffix not in SUFFIXES:
        return "is of a kind that an archive does not have"
    if entry.flag_bits & 1:
        return "is encrypted"
    return None


def _sums(listed: bytes, path: Path) -> Mapping[str, str]:
    sums: dict[str, str] = {}
    for line in listed.decode("utf-8", "replace").splitlines():
        match = _LINE.fullmatch(line)
        if match is None or match[2] in sums:
            raise ArchiveRefused(f"{path} is refused: its list of checksums has the line {line[:100]!r}")
        sums[match[2]] = match[1]
    return sums


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type, entry.create_system = zipfile.ZIP_DEFLATED, 3
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    return entry
