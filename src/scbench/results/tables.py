"""The tables of a sweep. All but the costs are the same, byte for byte, however a run was interrupted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan
from pathlib import Path

import pandas as pd

from scbench.record import Outcome
from scbench.results import marking
from scbench.results.agreement import agreement_table
from scbench.results.bootstrap import MISSING, Interval
from scbench.results.comparison_tables import (
    budgets_table,
    contrasts_tables,
    differences_tables,
    groups_table,
    models_table,
)
from scbench.results.costs import NOTE as COSTS
from scbench.results.costs import NOTHING, pays_from
from scbench.results.divergence import dense_cells
from scbench.results.formats import write_table
from scbench.results.frames import FAILURES, LENGTHS, QUARTERS
from scbench.results.matched import MEASURES, matched_table
from scbench.results.published import published_table
from scbench.results.statistics import WEIGHTS, mean_of_tasks
from scbench.results.summary import Summary, read_summary
from scbench.results.table import Column, Table, Value
from scbench.scoring.rules import has_quarters

ROW = ("model", "method", "setting")
OUTCOMES = tuple(Outcome)
MIB = 2**20
SILENT = frozenset({"model", "setting"})


def tables_sweep(manifest_path: Path) -> list[Path]:
    """Make a sweep's tables of its scores and save each in five formats in `tables/`; gives the paths.

    Files of tables that are no longer made go. Raises `ScbenchError` when the sweep has not been scored.
    """
    summary = read_summary(manifest_path)
    folder = summary.sweep.folder / "tables"
    written = [path for table in all_tables(summary) for path in write_table(table, folder)]
    for path in {path for path in folder.iterdir() if path.is_file()}.difference(written):
        path.unlink()
    return written


def all_tables(summary: Summary) -> list[Table]:
    """Scores (at nominal budgets, at equal bytes, by ability and budget, by turn), differences, costs, failures."""
    matched = [matched_table(summary, mode, measure) for measure in MEASURES for mode in summary.modes]
    models = [models_table(summary, mode) for mode in summary.modes]
    agreement = agreement_table(summary)
    return [
        *(scores_table(summary, mode) for mode in summary.modes),
        *(groups_table(summary, mode) for mode in summary.modes),
        *(table for table in matched if table is not None),
        *(budgets_table(summary, mode) for mode in summary.modes),
        *(turns_table(summary, mode) for mode in summary.modes),
        *quarters_tables(summary),
        *differences_tables(summary),
        *contrasts_tables(summary),
        *(table for table in models if table is not None),
        published_table(),
        *([] if agreement is None else [agreement]),
        cells_table(summary),
        contexts_table(summary),
        *fidelity_tables(summary),
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
                mean_of_tasks((summary.mean(cells.get(title), score) for title in members), summary.tasks(members))
                for members in parts.values()
                for score in scores
            ),
        ]
        for names, cells in summary.rows(mode).items()
    ]
    intervals = {
        len(ROW) + len(scores) * place: [
            _interval(summary, names, mode, members, cells) for names, cells in summary.rows(mode).items()
        ]
        for place, members in enumerate(parts.values())
    }
    contests = [summary.contest(next(iter(cells.values()))) for cells in summary.rows(mode).values()]
    marks = marking.marked(contests, intervals)
    note = f"In %, at nominal budgets. {marking.NOTE} {WEIGHTS}"
    return _table(f"scores_{mode}", f"Scores, {mode}", note, ROW, columns, rows, marks)


def _interval(
    summary: Summary, names: Sequence[str], mode: str, members: Sequence[str], cells: Mapping[str, str]
) -> Interval:
    """The mean strict score over the tasks `members`, with its interval."""
    if len(members) == 1:
        cell = cells.get(members[0])
        return MISSING if cell is None else summary.interval(cell)
    model, row, setting = names
    return summary.overall(model, row, setting, mode, summary.titles(mode)[members[0]])


def turns_table(summary: Summary, mode: str) -> Table:
    """Method × turn of one mode, for each task: strict scores."""
    columns = [Column(f"turn {turn + 1}", 1) for turn in summary.turns]
    placed = [(names, title, cell) for names, cells in summary.rows(mode).items() for title, cell in cells.items()]
    rows: list[list[Value]] = [
        [*names, title, *(summary.turn(cell, turn) for turn in summary.turns)] for names, title, cell in placed
    ]
    contests = [contest and (*contest, title) for _, title, cell in placed for contest in [summary.contest(cell)]]
    intervals = {
        len(ROW) + 1 + place: [summary.interval_at(cell, turn) for _, _, cell in placed]
        for place, turn in enumerate(summary.turns)
    }
    note = (
        "Strict scores in %, mean over sessions. n/a: no session has such a turn with outcome `ok`. "
        f"{marking.NOTE} Methods compete task by task."
    )
    marks = marking.marked(contests, intervals)
    return _table(f"turns_{mode}", f"Strict scores by turn, {mode}", note, (*ROW, "task"), columns, rows, marks)


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


def contexts_table(summary: Summary) -> Table:
    """How long the contexts of each task are for each model: in items, characters and tokens."""
    labels = pd.DataFrame([(name, label.title, label.model) for name, label in summary.labels.items()])
    known = summary.scored.scores.merge(labels.set_axis(["cell", "title", "its_model"], axis=1), on="cell")
    sessions = known.drop_duplicates(["title", "its_model", "session"])
    grouped = sessions.groupby(["title", "its_model"], sort=False)[list(LENGTHS)]
    medians, counts = grouped.median(), grouped.size()
    rows: list[list[Value]] = [
        [*map(str, key), int(counts[key]), *map(float, medians.loc[key])] for key in medians.index
    ]
    note = (
        "Medians over sessions. A tokenizer changes how much text a number of tokens is: models that read the same "
        "number have read the same only where characters and items say so. Items: pairs, numbers, lines or documents."
    )
    columns = [Column("sessions"), *(Column(name.replace("context_", ""), 0) for name in LENGTHS)]
    return Table("contexts", "Contexts", note, (*map(Column, ("task", "model")), *columns), tuple(map(tuple, rows)))


def fidelity_tables(summary: Summary) -> list[Table]:
    """How far each cell is from dense, and how much of the right answers it still held; none where nothing is known."""
    measures = {
        "gold kept %": ("gold_kept", 1),
        "gold nats/token": ("gold_log_likelihood", 3),
        "KL to dense": ("kl_to_dense", 4),
        "tokens in common": ("common_tokens", 1),
        "same as dense %": ("same_as_dense", 1),
    }
    rows: list[list[Value]] = [
        [
            *(label.mode, label.title, label.model, label.row, label.setting),
            *(summary.fidelity(fingerprint, column) for column, _ in measures.values()),
        ]
        for fingerprint, label in summary.labels.items()
    ]
    if all(isnan(float(value)) for row in rows for value in row[-len(measures) :]):
        return []
    note = (
        "Means over the turns that have the measure. gold kept: of the right answer's tokens in the context, those "
        "that the cache still held or let the answer read (mean over layers and KV heads; n/a where the context does "
        "not have the answer's text, and where a method rewrote it). gold nats/token: log-likelihood of the right "
        "answer. KL: of the predictions along it from dense's, in nats. tokens in common: with dense's answer, before "
        "the first that differs."
    )
    columns = [Column(name, digits) for name, (_, digits) in measures.items()]
    return [_table("fidelity", "Fidelity", note, ("mode", "task", *ROW), columns, rows)]


def costs_table(summary: Summary) -> Table:
    """One row per cell: seconds per stage with their scope and the width of batches; what a question costs with it."""
    prices = (
        *(Column("once s", 3), Column("each s", 3), Column("per question s", 3)),
        *(Column("TTFT s", 3), Column("tokens/s", 1)),
        *(Column("KV MiB", 2), Column("touched MiB", 2)),
        *(Column(f"{peak.removesuffix('_bytes').replace('_', ' ')} MiB") for peak in summary.peaks),
        Column("pays from"),
    )
    columns = [*(Column(_stage_header(stage), 3) for stage in summary.stages), *prices]
    dense = dense_cells(summary.sweep.cells)
    rows: list[list[Value]] = []
    for fingerprint, label in summary.labels.items():
        price = summary.price(fingerprint)
        peer = dense.get(fingerprint, fingerprint)
        pays = pays_from(price, summary.price(peer) if peer in dense else NOTHING)
        rows.append(
            [
                *(label.mode, label.title, label.model, label.row, label.setting),
                *(summary.cost(fingerprint, stage) for stage in summary.stages),
                *(price.once, price.each, price.per_question, price.ttft, price.tokens_per_second),
                *(summary.mean(fingerprint, "kv_stored"), summary.mean(fingerprint, "kv_touched_mib")),
                *(summary.cost(fingerprint, peak) / MIB for peak in summary.peaks),
                pays,
            ]
        )
    note = (
        "Seconds as recorded on each turn with outcome `ok`, mean over turns and sessions. shared: spent "
        "once for all cells of the family; batch: spent once for all answers decoded together; own: spent "
        "for this cell. These are not speed measurements: a run that measures speed decodes each method alone. "
        f"{COSTS} KV and touched: bytes that the cache holds, and that a decoded token reads. peak: the highest memory "
        "use, weights included; resident in the process on a CPU, where it is that of the whole family."
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
    marks: Mapping[tuple[int, int], str] | None = None,
) -> Table:
    """A table that starts with the columns `names`, without those of `SILENT` that never change."""
    table = Table(name, title, note, (*map(Column, names), *columns), tuple(map(tuple, rows)), marks or {})
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
