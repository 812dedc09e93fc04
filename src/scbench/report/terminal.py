"""A sweep's result at the end of a run, for a terminal of any width."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from scbench.grid.manifest import Manifest
from scbench.record import Outcome
from scbench.results.agreement import agreement_table
from scbench.results.comparison_tables import budgets_table
from scbench.results.dialogue import read_dialogue
from scbench.results.differing import differences, differences_table, only
from scbench.results.summary import Summary, read_summary
from scbench.results.table import BEST, NEAR, Table
from scbench.results.tables import cells_table, costs_table, turns_table
from scbench.results.text import visible

FAILURES_SHOWN = 10
SILENT = frozenset({"mode", "cell", "sessions"})  # said elsewhere, or too much for 80 columns
TOLD_IN_FILES = frozenset({"source"})  # of a published value
STYLES = {BEST: "bold", NEAR: "underline", None: ""}  # of marks
TEXT = 16  # characters of a text, beyond which it may be folded
GAP = 2  # between columns, and at both ends together
IF_ANY = frozenset({*(outcome.value for outcome in Outcome), "answer cut", "note"})  # shown where they tell something


def render_terminal(manifest_path: Path, console: Console | None = None) -> None:
    """Print a sweep's cells by mode (scores, bytes, outcomes), its failures, and where the files are.

    Raises `ScbenchError` when the sweep has not been scored.
    """
    console = console or Console()
    summary = read_summary(manifest_path)
    folder = summary.sweep.folder
    for mode in summary.modes:
        print_table(console, _shortened(cells_table(summary, mode)))
    console.print(Text(cells_table(summary).note, style="dim"))
    agreement = agreement_table(summary)
    if agreement is not None:
        print_table(console, agreement.select([column.name not in TOLD_IN_FILES for column in agreement.columns]))
        console.print(Text(agreement.note, style="dim"))
    for line in _failures(summary):
        console.print(Text(line, style="red"), soft_wrap=True)
    for name, path in (("tables", folder / "tables"), ("report", folder / "report.html")):
        if path.exists():
            console.print(Text(f"{name}: {path}"), soft_wrap=True)


def render_view(manifest_path: Path, by: str, console: Console | None = None) -> None:
    """Print a sweep's tables by `turn`, `budget` or `stage`; raises `ScbenchError` when it has not been scored."""
    console = console or Console()
    summary = read_summary(manifest_path)
    tables = {
        "turn": lambda: [turns_table(summary, mode) for mode in summary.modes],
        "budget": lambda: [budgets_table(summary, mode) for mode in summary.modes],
        "stage": lambda: [costs_table(summary)],
    }[by]()
    for table in tables:
        print_table(console, table)
    console.print(Text(tables[-1].note, style="dim"))


def render_difference(first: Path, second: Path, console: Console | None = None) -> None:
    """Print what changed from the sweep of one manifest to that of another, and what only one of them has."""
    console = console or Console()
    one, other = read_summary(first), read_summary(second)
    found = differences(one, other, (Manifest.read(first.resolve()), Manifest.read(second.resolve())))
    table = differences_table(found, (one.sweep.name, other.sweep.name))
    if table.rows:
        print_table(console, table)
        console.print(Text(table.note, style="dim"))
    names = [one.sweep.name, other.sweep.name]
    if names[0] == names[1]:
        names = [str(summary.sweep.folder) for summary in (one, other)]
    for name, cells in zip(names, only(one, other), strict=True):
        for cell in cells:
            console.print(Text(visible(f"only in {name}: {cell}")), soft_wrap=True)
    verdicts = Counter(difference.verdict for difference in found)
    counted = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
    console.print(Text(f"{len(found)} cells in both: {counted or 'none'}"), soft_wrap=True)


def render_dialogue(
    manifest_path: Path, cell: str, session: str | None, turn: int | None, console: Console | None = None
) -> None:
    """Print one session of a cell: question, gold, prediction, scores and outcome of every turn, or of one."""
    console = console or Console()
    dialogue = read_dialogue(manifest_path, cell, session, turn)
    label = dialogue.label
    names = (label.title, label.mode, label.model, label.row, label.setting, f"session {dialogue.session}")
    console.print(Text(visible(" · ".join(filter(None, names))), style="bold"), soft_wrap=True)
    console.print(Text(f"cell {dialogue.cell}", style="dim"), soft_wrap=True)
    for answer in dialogue.answers:
        record, scores = answer.record, answer.scores
        scored = "n/a" if scores is None else f"strict {scores.strict:.2f}, ref {scores.ref:.2f}"
        console.print(Text(f"\nturn {record.turn + 1}: {record.outcome.value}, {scored}", style="bold"))
        gold = " | ".join(record.gold) if isinstance(record.gold, tuple) else str(record.gold)
        said = {
            "question": answer.question,
            "gold": gold,
            "prediction": record.prediction,
            "detail": record.detail,
        }
        for name, text in said.items():
            if text or name != "detail":
                console.print(Text.assemble((f"{name}: ", "dim"), visible(text)), soft_wrap=True)


def _shortened(table: Table) -> Table:
    """Without the columns of `SILENT`, and without those of `IF_ANY` in which no row has anything."""
    return table.select(
        [
            column.name not in SILENT and (column.name not in IF_ANY or any(row[index] for row in table.rows))
            for index, column in enumerate(table.columns)
        ]
    )


def print_table(console: Console, table: Table) -> None:
    """Print a table so that all of it can be read: one that is too wide in parts, each with the names of its rows.

    What models, data and users wrote is made visible.
    """
    shown = [[visible(text) for text in row] for row in table.texts]
    headers = [column.name for column in table.columns]
    numbers = [table.is_numeric(index) for index in range(len(headers))]
    needs = [_need(header, [row[index] for row in shown], numbers[index]) for index, header in enumerate(headers)]
    names = next((index for index, number in enumerate(numbers) if number), len(headers))
    longest = [max([len(header), *(len(row[index]) for row in shown)]) for index, header in enumerate(headers)]
    for part in _parts(needs, names, console.width):
        rich = RichTable(title=Text(table.title), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        room = console.width - GAP - sum(needs[index] + GAP for index in part)
        for index in part:
            more = max(0, min(room, longest[index] - needs[index]))
            room -= more
            justify: Literal["left", "right"] = "right" if numbers[index] else "left"
            rich.add_column(Text(headers[index]), overflow="fold", justify=justify, width=needs[index] + more)
        for place, row in enumerate(shown):
            rich.add_row(*(Text(row[index], style=STYLES[table.marks.get((place, index))]) for index in part))
        console.print(rich)


def _need(header: str, texts: Sequence[str], number: bool) -> int:
    """The width that a column needs: of its header's longest word, of whole numbers, of texts up to a limit."""
    longest = max(map(len, texts), default=0)
    return max(longest if number else min(longest, TEXT), max(map(len, header.split()), default=0))


def _parts(needs: Sequence[int], names: int, width: int) -> list[list[int]]:
    """Which columns stand side by side: the first `names` in every part, and as many others as have room."""
    common = list(range(names))
    taken = sum(needs[index] + GAP for index in common) + GAP
    parts: list[list[int]] = [[]]
    room = width - taken
    for index in range(names, len(needs)):
        if parts[-1] and needs[index] + GAP > room:
            parts.append([])
            room = width - taken
        parts[-1].append(index)
        room -= needs[index] + GAP
    return [[*common, *part] for part in parts]


def _failures(summary: Summary) -> list[str]:
    """A line per failure: outcome, where, why."""
    failures = summary.scored.failures.to_dict("records")
    lines = []
    for row in failures[:FAILURES_SHOWN]:
        names = [row[name] for name in ("model", "method", "budget", "task", "mode", "setting")]
        turn = f"session {row['session']}, turn {row['turn']}" if row["session"] else f"cell {row['cell']}"
        where = " · ".join(filter(None, (*names, turn)))
        lines.append(visible(f"{row['outcome']}: {where}: {row['detail']}"))
    if len(failures) > FAILURES_SHOWN:
        lines.append(f"… and {len(failures) - FAILURES_SHOWN} more in {summary.sweep.folder / 'failures.csv'}")
    return lines
