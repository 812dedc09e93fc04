"""The report: one HTML file that holds everything it shows and opens from the disk without a network."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from scbench.record import Record
from scbench.report.figures import accuracy_against_bytes, to_svg
from scbench.report.text import visible
from scbench.results.files import write_text_atomic
from scbench.results.scores import sweep_records
from scbench.results.summary import Summary, read_summary
from scbench.results.table import Column, Table, Value
from scbench.results.tables import cells_table, costs_table, failures_table, quarters_tables, scores_table, turns_table


def report_sweep(manifest_path: Path) -> Path:
    """Write `report.html` beside the manifest and give its path.

    Raises `ScbenchError` when the sweep has not been scored.
    """
    summary = read_summary(manifest_path)
    path = summary.sweep.folder / "report.html"
    write_text_atomic(path, render(summary))
    return path


def render(summary: Summary) -> str:
    """The page's text; what models, data and users wrote is made visible and escaped, all of it."""
    records = {cell: sweep_records(summary.sweep, cell) for cell in summary.labels}
    environment = Environment(
        loader=PackageLoader("scbench.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["visible"] = visible
    return environment.get_template("report.html.j2").render(
        sweep=summary.sweep.name,
        cell_count=len(records),
        turn_count=sum(map(len, records.values())),
        scores=[scores_table(summary, mode) for mode in summary.modes],
        figure=Markup(to_svg(accuracy_against_bytes(summary))),
        details=[
            *(turns_table(summary, mode) for mode in summary.modes),
            *quarters_tables(summary),
            cells_table(summary),
            costs_table(summary),
        ],
        failures=failures_table(summary),
        provenance=_provenance([record for cell in records.values() for record in cell]),
        answers=_answers(summary, records),
    )


def _answers(summary: Summary, records: dict[str, list[Record]]) -> list[Table]:
    """A table per cell, a row per turn."""
    columns = (
        *(Column("session"), Column("turn"), Column("prediction"), Column("gold")),
        *(Column("strict", 2), Column("ref", 2), Column("outcome"), Column("detail")),
    )
    scores = summary.scored.scores
    keys = zip(scores["cell"], scores["session"], scores["turn"], strict=True)
    pairs = dict(zip(keys, zip(scores["strict"], scores["ref"], strict=True), strict=True))
    tables = []
    for cell, label in summary.labels.items():
        rows: list[tuple[Value, ...]] = [
            (
                *(record.session, record.turn + 1, record.prediction, _gold(record)),
                *pairs.get((cell, record.session, record.turn), (float("nan"), float("nan"))),
                *(record.outcome.value, record.detail),
            )
            for record in records[cell]
        ]
        names = (label.title, label.mode, label.model, label.row, label.setting)
        tables.append(Table(cell, " · ".join(filter(None, names)), "", columns, tuple(rows)))
    return tables


def _gold(record: Record) -> str:
    return " | ".join(record.gold) if isinstance(record.gold, tuple) else str(record.gold)


def _provenance(records: list[Record]) -> Table:
    """What the records say they were made with; more than one value of a name means a mixed sweep."""
    counts = Counter(item for record in records for item in record.provenance.items())
    rows = tuple((name, value, count) for (name, value), count in sorted(counts.items()))
    columns = (Column("what"), Column("value"), Column("turns"))
    return Table("provenance", "Provenance", "As recorded with every turn.", columns, rows)
