"""The report: one HTML file that opens from the disk without a network, and the figures as files."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from scbench.grid.manifest import Manifest
from scbench.report import overview
from scbench.report.figures.catalogue import all_charts
from scbench.report.figures.chart import Chart
from scbench.report.figures.interactive import spec
from scbench.report.figures.static import save
from scbench.report.gathered import Gathered, gather
from scbench.report.shelf import FOLDER, Shelf, pack
from scbench.report.tracking_failure import TRACKED, failure
from scbench.results.files import write_text_atomic
from scbench.results.summary import Summary, read_summary
from scbench.results.table import Column, Table, Value
from scbench.results.tables import all_tables
from scbench.results.text import visible

SCRIPTS = ("data.js", "tables.js", "figures.js", "answers.js")
MOST_ROWS = 2000  # of a table in the page; its file has them all
WORD = 40  # characters that are not broken


@dataclass(frozen=True)
class Drawn:
    """A figure of the page: its chart, and the SVG of it."""

    chart: Chart
    svg: str


def report_sweep(manifest_path: Path) -> Path:
    """Write `report.html`, `figures/` and what is too large for the page beside the manifest; gives the page's path.

    Raises `ScbenchError` when the sweep has not been scored.
    """
    summary = read_summary(manifest_path)
    manifest = Manifest.read(manifest_path.resolve())
    folder = summary.sweep.folder
    shelf = Shelf(folder)
    gathered = gather(summary, manifest, shelf)
    figures = _figures(summary, gathered, folder / "figures")
    path = folder / "report.html"
    page = _page(summary, manifest, gathered, figures, shelf)
    smaller = shelf.smaller(len(page.encode()))
    if smaller is not None:
        shelf = smaller
        page = _page(summary, manifest, gather(summary, manifest, shelf), figures, shelf)
    write_text_atomic(path, page)
    shelf.sweep_out()
    return path


def _figures(summary: Summary, gathered: Gathered, folder: Path) -> list[Drawn]:
    """Draw all figures: as files, and for the page. Files of figures that are no longer made go."""
    charts = all_charts(summary, gathered.looks)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return [Drawn(chart, save(chart, folder)) for chart in charts]


def _page(summary: Summary, manifest: Manifest, gathered: Gathered, figures: list[Drawn], shelf: Shelf) -> str:
    """The page's text; what models, data and users wrote is made visible and escaped, all of it."""
    plotly = _plotly() if figures else ""
    index = {"cells": gathered.cells, "files": shelf.files}
    specs = {drawn.chart.name: spec(drawn.chart) for drawn in figures}
    own = {
        "index": json.dumps(index),
        "drawings": json.dumps({drawn.chart.name: drawn.svg for drawn in figures}),
        "figures": json.dumps(specs, allow_nan=False),
        "plotly": plotly,
    }
    data = shelf.page | {name: pack(text) for name, text in own.items()}
    script = "\n".join(_asset(name) for name in SCRIPTS)
    environment = Environment(
        loader=PackageLoader("scbench.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["visible"] = visible
    tables = {table.name: table for table in all_tables(summary)}
    failures = tables.pop("failures")
    return environment.get_template("report.html.j2").render(
        sweep=summary.sweep.name,
        policy=_policy([script, plotly], beside=bool(shelf.files)),
        style=Markup(_asset("report.css")),
        script=Markup(script),
        data=data,
        facts=overview.facts(summary, manifest, gathered),
        flags=overview.flags(summary, gathered),
        front=overview.front_table(summary),
        untracked=failure(summary.sweep.folder / TRACKED),
        comparison=overview.comparison_page(summary.sweep.folder),
        tables=list(tables.values()),
        figures=[drawn.chart for drawn in figures],
        failures=failures,
        provenance=_provenance(gathered),
        cell_count=len(gathered.cells),
        beside=[cell["id"] for cell in gathered.cells if cell["id"] in set(shelf.files)],
        folder=FOLDER,
        most_rows=MOST_ROWS,
        kinds=_kinds,
    )


def _policy(scripts: list[str], *, beside: bool) -> str:
    """Nothing may run or be fetched but the page's own scripts, named by their hashes, and the files beside it."""
    hashes = [base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii") for text in scripts]
    sources = [*(f"'sha256-{digest}'" for digest in hashes), *(("file:", "'self'") if beside else ())]
    return (
        f"default-src 'none'; script-src {' '.join(sources)}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _plotly() -> str:
    # A second to import, for a file that lies in the package.
    from plotly.offline import get_plotlyjs

    text: str = get_plotlyjs()
    return text


def _asset(name: str) -> str:
    return (files("scbench.report") / "templates" / name).read_text(encoding="utf-8")


def _kinds(table: Table) -> list[str]:
    """How each column is set: a `number` to the right, a `word` on one line, a `text` on several."""
    return [_kind([row[index] for row in table.rows]) for index in range(len(table.columns))]


def _kind(values: list[Value]) -> str:
    if not any(isinstance(value, str) for value in values):
        return "number"
    return "word" if max(len(str(value)) for value in values) <= WORD else "text"


def _provenance(gathered: Gathered) -> Table:
    """What the records say they were made with; more than one value of a name means a mixed sweep."""
    rows = tuple((name, value, count) for (name, value), count in sorted(gathered.provenance.items()))
    columns = (Column("what"), Column("value"), Column("turns"))
    return Table("provenance", "Provenance", "As recorded with every turn.", columns, rows)
