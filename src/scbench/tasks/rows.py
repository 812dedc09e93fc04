"""Where published rows lie: JSONL and Parquet files, folders of them, and the hub. They are read one by one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from scbench.errors import ScbenchError
from scbench.tasks.base import kind_of
from scbench.tasks.hub_files import fetched

REPOSITORY = "microsoft/SCBench"
LAYOUTS = ("{0}.jsonl", "{0}.parquet", "data/{0}.jsonl", "data/{0}.parquet", "{0}/test-*.parquet")

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """A published row: `place` says in which file or repository and which row of it, from 1."""

    place: str
    values: Values


@dataclass(frozen=True)
class Hub:
    """A pinned data set on the Hugging Face hub; `revision` is a commit, so that the rows cannot change."""

    repository: str
    revision: str


def read_rows(data: str, published: str) -> Iterator[Row]:
    """The rows of a data set's configuration `published`, one at a time.

    `data` is what `task.data` says: a `.jsonl` or `.parquet` file, a folder, or `hub[:owner/name]@commit`. Raises
    `ScbenchError` naming the file, and the row where there is one, for whatever cannot be read.
    """
    source = find_hub(data)
    if source is not None:
        yield from _hub(source, published)
        return
    rows = chain.from_iterable(map(_file, find_files(data, published)))
    empty = True
    for row in rows:
        empty = False
        yield row
    if empty:
        raise ScbenchError(f"{data}: has no rows; give the data set's own file, or its folder")


def find_hub(data: str) -> Hub | None:
    """The data set that `hub…` names, None for a path; raises `ScbenchError` without a commit."""
    match = re.fullmatch(r"hub(?::([^@]+))?(?:@(.*))?", data)
    if match is None:
        return None
    repository, revision = match[1] or REPOSITORY, match[2] or ""
    if not re.fullmatch("[0-9a-f]{40}", revision):
        raise ScbenchError(
            f"task.data={data}: needs the commit of the data set that is meant, as hub:{repository}@<40 hexadecimal "
            "digits>; the hub's page of the data set lists them"
        )
    return Hub(repository, revision)


def find_files(data: str, published: str) -> list[Path]:
    """The file that `data` is, or a folder's file or shards of `published`: the first of `LAYOUTS` that is there."""
    path = Path(data)
    if not path.is_dir():
        return [path]
    patterns = [layout.format(published) for layout in LAYOUTS]
    found = next((files for pattern in patterns if (files := sorted(path.glob(pattern)))), None)
    if found is None:
        raise ScbenchError(f"{data}: the folder holds none of {', '.join(patterns)}; name the file itself in task.data")
    return found


def _file(path: Path) -> Iterator[Row]:
    read = _parquet if path.suffix == ".parquet" else _jsonl
    try:
        yield from read(path)
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())
        raise ScbenchError(
            f"{path}: cannot be read ({reason}); task.data names a JSONL or Parquet file, a folder of them, or the hub"
        ) from error


def _jsonl(path: Path) -> Iterator[Row]:
    """One row per line; a row's number is its line's, blank lines included."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                place = f"{path}, row {number}"
                yield Row(place, _object(place, line))


def _object(place: str, line: bytes) -> Values:
    try:
        row = json.loads(line.rstrip().decode("utf-8-sig"), parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise ScbenchError(f"{place}: byte {error.start + 1} is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise ScbenchError(
            f"{place}: not JSON ({error.msg.removesuffix(' at')} at character {error.pos + 1})"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ScbenchError(f"{place}: not JSON ({error})") from error
    return _mapping(place, row)


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number in JSON")


def _parquet(path: Path) -> Iterator[Row]:
    """One row at a time; what is in memory is the page of the file that holds it, the least that Parquet reads."""
    import pyarrow
    from pyarrow.parquet import ParquetFile

    number = 0
    try:
        with path.open("rb") as stream, ParquetFile(stream, pre_buffer=False, buffer_size=2**20) as file:
            for batch in file.iter_batches(batch_size=1):
                for values in batch.to_pylist():
                    number += 1
                    yield Row(f"{path}, row {number}", values)
    except UnicodeDecodeError as error:
        raise ScbenchError(f"{path}, row {number + 1}: byte {error.start + 1} of a text is not UTF-8") from error
    except (pyarrow.ArrowException, OSError) as error:
        if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
            raise
        reason = " ".join(str(error).split())
        raise ScbenchError(f"{path}, row {number + 1}: the Parquet file is damaged ({reason}); get it again") from error


def _hub(source: Hub, published: str) -> Iterator[Row]:
    """From the files that `scbench fetch` brought, or streamed, so that a run of a few sessions fetches a few."""
    place = f"hub:{source.repository}@{source.revision[:12]}, {published}"
    files = fetched(source.repository, source.revision, published)
    if files is None:
        yield from _streamed(source, published, place)
        return
    for number, row in enumerate(chain.from_iterable(map(_file, files)), 1):
        yield Row(f"{place}, row {number}", row.values)


def _streamed(source: Hub, published: str, place: str) -> Iterator[Row]:
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError

    number = 0
    try:
        rows = load_dataset(source.repository, published, split="test", revision=source.revision, streaming=True)
        for values in rows:
            number += 1
            row = f"{place}, row {number}"
            yield Row(row, _mapping(row, values))
    except (OSError, ValueError, DatasetsError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ScbenchError(
            f"{place}: cannot be read ({reason}); run `scbench fetch` with the same overrides where there is a "
            "network, or give task.data a folder of the data set's files"
        ) from error


def _mapping(place: str, row: object) -> Values:
    if not isinstance(row, dict):
        raise ScbenchError(f"{place}: expected an object, found {kind_of(row)}")
    return row
