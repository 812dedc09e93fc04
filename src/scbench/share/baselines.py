"""Archives as baselines: results of others that stand beside a sweep's own, where they asked the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scbench.config.cell import Cell
from scbench.errors import ScbenchError
from scbench.grid.manifest import Manifest
from scbench.record import Outcome
from scbench.results.labels import Label, labels
from scbench.results.session_hashes import Fingerprints, fingerprints
from scbench.results.summary import Summary, read_summary
from scbench.results.table import Column, Table, Value
from scbench.share.gold import gold_answers, other_gold
from scbench.share.verify import verified

OWN = "this sweep"


@dataclass(frozen=True)
class Asked:
    """What a cell asked for: cells that asked the same can be compared. `sessions` are hashes of contents."""

    task: str
    mode: str
    max_turns: int | None
    history: str
    prompt_style: str
    fit: str
    sessions: frozenset[str]

    @property
    def how(self) -> str:
        """The mode, with every setting that is not the usual one."""
        turns = "" if self.max_turns is None else f" of {self.max_turns} turns"
        unusual = (("history", self.history, "gold"), ("prompt_style", self.prompt_style, "fixed"))
        parts = [f"{name}={value}" for name, value, usual in (*unusual, ("fit", self.fit, "whole")) if value != usual]
        return ", ".join((self.mode + turns, *parts))


@dataclass(frozen=True)
class Baseline:
    """A verified archive: `name` is its file's, `digest` its content's.

    `comparable` are its cells that asked what a cell of the sweep asked; `others` says of the rest why they did not.
    """

    name: str
    digest: str
    summary: Summary
    comparable: tuple[str, ...]
    others: Mapping[str, str]
    asked: Mapping[str, Asked]

    @property
    def label(self) -> str:
        """What tables call it."""
        return f"{self.name} ({self.digest[:12]})"


@dataclass(frozen=True)
class Baselines:
    """The archives of a folder; `refused` says of those that do not verify why. `asked` is of the sweep's own cells."""

    found: tuple[Baseline, ...]
    refused: Mapping[str, str]
    asked: Mapping[str, Asked]


def baselines(folder: Path, manifest_path: Path) -> Baselines:
    """Verify every archive of a folder, and find what can stand beside the sweep's own numbers.

    Only cells of the same task, mode, turns, history, prompts and fit on the same sessions, with the gold answers that
    the sweep's own sessions have, can, all of them answered: the sessions' contents decide, not their names. Raises
    `ScbenchError` where the folder has no archive.
    """
    archives = sorted(folder.glob("*.zip"))
    if not archives:
        raise ScbenchError(f"{folder} has no archives; `scbench pack` makes them")
    mine = _asked(manifest_path)
    own, gold = frozenset(mine.values()), gold_answers(manifest_path)
    found, refused = list[Baseline](), dict[str, str]()
    for archive in archives:
        try:
            with verified(archive) as (manifest, verdict):
                if not verdict.holds:
                    count = len(verdict.differences)
                    refused[archive.name] = f"{count} lines do not follow from its records: {verdict.differences[0]}"
                    continue
                asked = _asked(manifest)
                wrong = other_gold(manifest, gold)
                others = {cell: _reason(one, own) for cell, one in asked.items() if one not in own} | {
                    cell: wrong[cell] for cell, one in asked.items() if one in own and cell in wrong
                }
                summary = read_summary(manifest)
                others |= _partial(summary, asked, others)
                comparable = tuple(cell for cell in asked if cell not in others)
                found.append(Baseline(archive.stem, verdict.digest, summary, comparable, others, asked))
        except ScbenchError as error:
            refused[archive.name] = str(error)
    return Baselines(tuple(found), refused, mine)


def beside(summary: Summary, given: Baselines) -> Table:
    """The sweep's cells, and under each task those of the baselines that asked the same."""
    names = ("mode", "task", "model", "method", "from")
    scores = (Column("strict", 1), Column("ref", 1), Column("KV MiB", 2), Column("KV %", 1))
    columns = [*map(Column, names), *scores, Column("turns")]
    cells = dict(summary.sweep.cells)
    for base in given.found:
        cells |= {cell: base.summary.sweep.cells[cell] for cell in base.comparable}
    called = labels(cells)  # together: what differs between sweeps stands in the names
    rows = [_row(summary, cell, called[cell], given.asked[cell].how, OWN) for cell in summary.labels]
    rows += [
        _row(base.summary, cell, called[cell], base.asked[cell].how, base.label)
        for base in given.found
        for cell in base.comparable
    ]
    order = {row[:2]: place for place, row in reversed(list(enumerate(rows)))}
    note = (
        f"Scores in %, over so many turns with outcome `ok`. Rows of archives, by name and digest, are of the same "
        f"sessions as those of {OWN}."
    )
    return Table("baselines", "Beside baselines", note, tuple(columns), tuple(sorted(rows, key=lambda r: order[r[:2]])))


def not_comparable(given: Baselines) -> list[str]:
    """One line per archive that does not verify, and per reason why cells of one do not stand beside the sweep's."""
    lines = [f"{name}: not comparable, {reason}" for name, reason in given.refused.items()]
    for base in given.found:
        for reason in dict.fromkeys(base.others.values()):
            cells = [cell for cell, why in base.others.items() if why == reason]
            titles = dict.fromkeys(f"{base.summary.labels[c].title}, {base.summary.labels[c].mode}" for c in cells)
            lines.append(f"{base.label}: not comparable, {reason}: {'; '.join(titles)}")
    return lines


def _row(summary: Summary, cell: str, label: Label, how: str, source: str) -> tuple[Value, ...]:
    method = " ".join(filter(None, (label.row, label.setting)))
    means = (summary.mean(cell, name) for name in ("strict", "ref", "kv_stored", "kv_share"))
    return (how, label.title, label.model, method, source, *means, summary.count(cell, Outcome.OK))


def _asked(manifest_path: Path) -> dict[str, Asked]:
    manifest = Manifest.read(manifest_path.resolve())
    known: dict[str, Fingerprints] = {source: fingerprints(manifest.sessions(source)) for source in manifest.sources}
    return {
        cell: _what(manifest.cells[cell], known[family.source]) for family in manifest.families for cell in family.cells
    }


def _partial(summary: Summary, asked: Mapping[str, Asked], others: Mapping[str, str]) -> dict[str, str]:
    """Cells that have not answered all of their sessions: those left out may be the hard ones."""
    found = {cell: (summary.sessions(cell), len(one.sessions)) for cell, one in asked.items() if cell not in others}
    return {
        cell: f"it has records of {answered} of {whole} sessions"
        for cell, (answered, whole) in found.items()
        if answered < whole
    }


def _what(cell: Cell, sessions: Fingerprints) -> Asked:
    return Asked(
        task=cell.task.name,
        mode=str(cell.mode.options["kind"]),
        max_turns=cell.max_turns,
        history=cell.history,
        prompt_style=cell.prompt_style,
        fit=cell.fit,
        sessions=frozenset(sessions.values()),
    )


def _reason(one: Asked, own: frozenset[Asked]) -> str:
    if not one.sessions:
        return "it has no sessions"
    if not any(other.task == one.task for other in own):
        return "this sweep does not have the task"
    if any(other.task == one.task and other.sessions == one.sessions for other in own):
        return f"this sweep does not ask it as {one.how}"
    return "its sessions are others"
