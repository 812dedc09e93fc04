"""The tables of a sweep. All but the costs are the same, byte for byte, however a run was interrupted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scbench.record import Outcome
from scbench.results.frames import FAILURES, QUARTERS
from scbench.results.statistics import WEIGHTS, mean_of_tasks
from scbench.results.summary import Summary, read_summary
from scbench.results.table import Column, Table, Value, write_table
from scbench.scoring.rules import has_quarters

ROW = ("model", "method", "setting")
OUTCOMES = tuple(Outcome)
SILENT = frozenset({"model", "setting"})


def tables_sweep(manifest_path: Path) -> list[Path]:
    """Make a sweep's tables of its scores and save each as Markdown and CSV in `tables/`; gives the paths.

    Raises `ScbenchError` when the sweep has not been scored.
    """
    summary = read_summary(manifest_path)
    folder = summary.sweep.folder / "tables"
    return [path for table in all_tables(summary) for path in write_table(table, folder)]


def all_tables(summary: Summary) -> list[Table]:
    """Scores and turns per mode, quarters of long answers; every cell with its bytes and outcomes; costs; failures."""
    return [
        *(scores_table(summary, mode) for mode in summary.modes),
        *(turns_table(summary, mode) for mode in summary.modes),
        *quarters_tables(summary),
        cells_table(summary),
        costs_table(summary),
        failures_table(summary),
    ]


def scores_table(summary: Summary, mode: str) -> Table:
    """Method × task of one mode: strict scores, and ref beside."""
    titles, averaged = summary.titles(mode), summary.averaged(mode)
    means = {
        f"mean ({kind})" if kind else "mean": [t for t, its in titles.items() if its == kind and t in averaged]
        for kind in sorted(set(titles.values()))
    }
    parts = {title: [title] for title in titles} | {k: m for k, m in means.items() if len(m) > 1}
    scores = ("strict", "ref")
    columns = [Column(f"{name} {score}", 1) for name in parts for score in scores]
    rows: list[list[Value]] = [
        [
            *names,
            *(
                mean_of_tasks(summary.mean(cells.get(title), score) for title in members)
                for members in parts.values()
                for score in scores
            ),
        ]
        for names, cells in summary.rows(mode).items()
    ]
    return _table(f"scores_{mode}", f"Scores, {mode}", f"In %. {WEIGHTS}", ROW, columns, rows)


def turns_table(summary: Summary, mode: str) -> Table:
    """Method × turn of one mode, for each task: strict scores."""
    columns = [Column(f"turn {turn + 1}", 1) for turn in summary.turns]
    rows: list[list[Value]] = [
        [*names, title, *(summary.turn(fingerprint, turn) for turn in summary.turns)]
        for names, cells in summary.rows(mode).items()
        for title, fingerprint in cells.items()
    ]
    note = "Strict scores in %, mean over sessions. n/a: no session has such a turn with outcome `ok`."
    return _table(f"turns_{mode}", f"Strict scores by turn, {mode}", note, (*ROW, "task"), columns, rows)


def quarters_tables(summary: Summary) -> list[Table]:
    """Method × quarter of the answer, for the tasks whose answers are scored so; no table for a mode without any."""
    made = []
    note = (
        "Strict scores in %, of each quarter of an answer's records: how they fall while an answer grows. "
        f"A quarter without records is n/a. {WEIGHTS}"
    )
    columns = [Column("strict", 1), *(Column(quarter.replace("_", " "), 1) for quarter in QUARTERS)]
    for mode in summary.modes:
        rows: list[list[Value]] = [
            [*names, title, *(summary.mean(fingerprint, score) for score in ("strict", *QUARTERS))]
            for names, cells in summary.rows(mode).items()
            for title, fingerprint in cells.items()
            if has_quarters(summary.sweep.cells[fingerprint].task.type.name)
        ]
        if rows:
            title = f"Strict scores by quarter of the answer, {mode}"
            made.append(_table(f"quarters_{mode}", title, note, (*ROW, "task"), columns, rows))
    return made


def cells_table(summary: Summary, mode: str | None = None) -> Table:
    """One row per cell (of one mode): scores, key-value bytes, and how its turns ended."""
    columns = [
        *(Column("strict", 1), Column("ref", 1), Column("KV MiB", 2), Column("KV %", 1)),
        *(Column(name) for name in ("sessions", *OUTCOMES, "answer cut", "note", "cell")),
    ]
    notes = _notes(summary)
    rows: list[list[Value]] = [
        [
            *(label.mode, label.title, label.model, label.row, label.setting),
            *(summary.mean(fingerprint, name) for name in ("strict", "ref", "kv_stored", "kv_share")),
            summary.sessions(fingerprint),
            *(summary.count(fingerprint, outcome) for outcome in OUTCOMES),
            summary.answers_cut(fingerprint),
            *(notes.get(fingerprint, ""), fingerprint),
        ]
        for fingerprint, label in summary.labels.items()
        if mode in (None, label.mode)
    ]
    note = (
        "Scores in %. KV: bytes stored at the start of an answer, over all layers, and what share they are of "
        f"an untouched cache of the same tokens. ok … error: turns by outcome. answer cut: turns whose gold "
        f"answer stood in what was cut to fit the window, out of reach of every method. {WEIGHTS}"
    )
    title = f"Cells, {mode}" if mode else "Cells"
    return _table("cells", title, note, ("mode", "task", *ROW), columns, rows)


def costs_table(summary: Summary) -> Table:
    """One row per cell: seconds per stage with their scope, and the width of batches."""
    columns = [Column(_stage_header(stage), 3) for stage in summary.stages]
    rows: list[list[Value]] = [
        [
            *(label.mode, label.title, label.model, label.row, label.setting),
            *(summary.cost(fingerprint, stage) for stage in summary.stages),
        ]
        for fingerprint, label in summary.labels.items()
    ]
    note = (
        "Seconds as recorded on each turn with outcome `ok`, mean over turns and sessions. shared: spent "
        "once for all cells of the family; batch: spent once for all answers decoded together; own: spent "
        "for this cell. These are not speed measurements: a run that measures speed decodes each method alone."
    )
    return _table("costs", "Costs", note, ("mode", "task", *ROW), columns, rows)


def failures_table(summary: Summary) -> Table:
    """Every turn and every cell that failed, and why."""
    rows: list[list[Value]] = summary.scored.failures[list(FAILURES)].to_numpy().tolist()
    note = "Turns are counted from 0, as in the records."
    return _table("failures", "Failures", note, FAILURES, (), rows)


def _table(
    name: str,
    title: str,
    note: str,
    names: Sequence[str],
    columns: Sequence[Column],
    rows: Sequence[Sequence[Value]],
) -> Table:
    """A table that starts with the columns `names`, without those of `SILENT` that never change."""
    table = Table(name, title, note, (*map(Column, names), *columns), tuple(map(tuple, rows)))
    values = [{row[index] for row in rows} for index in range(len(names))]
    keep = [name not in SILENT or len(seen) > 1 for name, seen in zip(names, values, strict=True)]
    return table.select([*keep, *(True for _ in columns)])


def _stage_header(stage: str) -> str:
    """`prefill_shared_s` -> `prefill s (shared)`, `decode_batch_width` -> `decode width (batch)`."""
    name, scope, unit = stage.rsplit("_", 2)
    return f"{name} {unit} ({scope})"


def _notes(summary: Summary) -> dict[str, str]:
    """What is wrong with a whole cell: `failed` or `missing`."""
    failures = summary.scored.failures
    whole = failures[failures["session"] == ""]
    return dict(zip(whole["cell"], whole["outcome"], strict=True))
