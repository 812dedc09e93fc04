"""One session of one cell, turn by turn, as people read it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scbench.errors import ScbenchError
from scbench.grid.manifest import Manifest
from scbench.nearest import hint
from scbench.record import Record
from scbench.results.labels import Label, labels
from scbench.results.scores import score_records, sweep_records
from scbench.results.session_hashes import without_texts
from scbench.results.store import FAILED
from scbench.results.sweep import read_sweep
from scbench.scoring import Scores
from scbench.tasks import sessions

LISTED = 10  # cells that an error names
UNKNOWN = "not in an archive, which names sessions by their hashes"


@dataclass(frozen=True)
class Answer:
    """A turn: what was asked, the record, and both scores if it ended."""

    question: str
    record: Record
    scores: Scores | None


@dataclass(frozen=True)
class Dialogue:
    """The turns of one session that a cell has records of."""

    cell: str
    label: Label
    session: str
    answers: tuple[Answer, ...]


def read_dialogue(manifest_path: Path, wanted: str, session: str | None = None, turn: int | None = None) -> Dialogue:
    """A session of a cell: the first, or the one called `session`; all its turns, or number `turn` (from 1).

    `wanted` is the start of the cell's fingerprint, or words of its names (`snapkv 25% retr_kv multi_turn`). Raises
    `ScbenchError` where this names no cell or several, and where there are no such records.
    """
    sweep = read_sweep(manifest_path)
    named = labels(sweep.cells)
    cell = _cell(named, wanted)
    records = sweep_records(sweep, cell)
    known = list(dict.fromkeys(record.session for record in records))
    if not known:
        raise ScbenchError(f"cell {cell} has no records; `scbench show` without --cell says why")
    chosen = known[0] if session is None else session
    if chosen not in known:
        raise ScbenchError(f"cell {cell} has no session '{chosen}'; {hint(chosen, known)}")
    scores = score_records(records, sweep.cells[cell].task.type.name, sweep.cells[cell].mode.options["kind"])
    questions = _questions(manifest_path, cell, chosen)
    answers = tuple(
        Answer(questions.get(record.turn, UNKNOWN), record, None if record.outcome in FAILED else score)
        for record, score in zip(records, scores, strict=True)
        if record.session == chosen and turn in (None, record.turn + 1)
    )
    if not answers:
        raise ScbenchError(f"session '{chosen}' of cell {cell} has no turn {turn}; turns are counted from 1")
    return Dialogue(cell, named[cell], chosen, answers)


def _cell(named: dict[str, Label], wanted: str) -> str:
    """The one cell whose fingerprint starts so, or whose names have all these words."""
    found = [cell for cell in named if cell.startswith(wanted)]
    if not found:
        words = [cell for cell, label in named.items() if _has(label, wanted.split())]
        found = [cell for cell in words if not any(_has_more(named[cell], named[other]) for other in words)]
    if len(found) == 1:
        return found[0]
    some = "; ".join(f"{cell} ({_text(named[cell])})" for cell in (found or list(named))[:LISTED])
    what = f"{len(found)} cells are" if found else "no cell is"
    raise ScbenchError(f"{what} '{wanted}'; name one by its fingerprint or its words: {some}")


def _has(label: Label, words: list[str]) -> bool:
    return bool(words) and all(word in _words(label) for word in words)


def _has_more(label: Label, other: Label) -> bool:
    """Whether a cell has all methods of another, and more, in the same setting: who names the other means that."""
    mine, theirs = ((one.model, one.budget, one.task, one.mode, one.setting) for one in (label, other))
    return mine == theirs and set(other.method.split(" + ")) < set(label.method.split(" + "))


def _words(label: Label) -> list[str]:
    return _text(label).replace("(", " ").replace(")", " ").split()


def _text(label: Label) -> str:
    return " ".join(filter(None, (label.model, label.row, label.task, label.mode, label.setting)))


def _questions(manifest_path: Path, cell: str, session: str) -> dict[int, str]:
    """The questions of a session by turn."""
    manifest = Manifest.read(manifest_path.resolve())
    source = next(family.source for family in manifest.families if cell in family.cells)
    path = manifest.sessions(source)
    if path.exists() and without_texts(path):  # an archive's: questions stay with whoever may give them away
        return {}
    asked = (one for one in sessions.read(path) if one.id == session)
    return {place: turn.question for one in asked for place, turn in enumerate(one.turns)}
