"""`docs/findings.md`: one row per claim, with what was measured beside what was asked of it before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isnan
from pathlib import Path

from scbench.config.files import find
from scbench.errors import ScbenchError
from scbench.findings.architectures import architectures_table
from scbench.findings.claims import FILE, STATISTICS, Claim, read_claims
from scbench.findings.measure import Finding, findings
from scbench.grid.manifest import Manifest
from scbench.results.files import write_text_atomic
from scbench.results.summary import Summary, read_summary
from scbench.results.table import Column, Table, Value, to_markdown

NOTE = (
    "In percentage points. measured: over all cells of the claim, each with the same weight, with a 95 % interval over "
    "contexts (sessions drawn again whole, together for all cells). seen: the interval lies where `seen if` says; "
    "opposite: where `opposite if` says; not seen: neither; not run: the sweep lacks a cell of the claim. of them "
    "alike: cells that say the same alone (without an interval); below, each of them."
)


def write_findings(manifest: Path, conf: Path, page: Path) -> Table:
    """Measure the claims of `conf/findings.yaml` on a sweep that has been scored, and write the page."""
    file = find(conf, FILE)
    if not file.is_file():
        raise ScbenchError(f"{file}: no such file; it says what is claimed")
    summary = read_summary(manifest)
    found = findings(summary, read_claims(file))
    table = findings_table(found)
    write_text_atomic(page, _page(table, found, summary, Manifest.read(manifest)))
    return table


def findings_table(found: Sequence[Finding]) -> Table:
    """A row per claim, in order."""
    columns = (
        *map(Column, ("claim", "source", "statistic", "seen if", "opposite if")),
        *(Column("measured", 1), Column("low", 1), Column("high", 1)),
        *map(Column, ("cells", "of them alike", "contexts", "verdict")),
    )
    rows: list[tuple[Value, ...]] = [
        (
            *(one.claim.says, one.claim.source, STATISTICS[one.claim.statistic]),
            *(str(one.claim.seen), str(one.claim.opposite)),
            *(one.measured.estimate, one.measured.low, one.measured.high),
            *(one.cells, one.alike, one.contexts, one.verdict),
        )
        for one in found
    ]
    return Table("findings", "Claims", NOTE, columns, tuple(rows))


def _page(table: Table, found: Sequence[Finding], summary: Summary, manifest: Manifest) -> str:
    counts = {verdict: sum(one.verdict == verdict for one in found) for verdict in _order(found)}
    models = dict.fromkeys(label.model for label in summary.labels.values())
    models_table = architectures_table(summary)
    contexts = max((one.contexts for one in found), default=0)
    lines = [
        "# Findings",
        "",
        "What the paper says of full-size models, asked of the models that scbench carries "
        "([tiny-models.md](tiny-models.md)). They check that a harness and its methods show what they should, and "
        "are no evidence about large models. Claims, statistics and thresholds stand in `conf/findings.yaml`, "
        "and stood there before this run; where an earlier run led to a change, the file says which. "
        "A claim that nothing is lost says little where the peer answers little, which the cells' own lines tell.",
        "",
        f"Made by `scbench findings` from `{' '.join(('scbench sweep', *manifest.overrides))}`: "
        f"{len(summary.labels)} cells of {', '.join(models)}; up to {contexts} contexts a cell. "
        f"{', '.join(f'{count} {verdict}' for verdict, count in counts.items())}.",
        "",
        to_markdown(table),
        *((to_markdown(models_table),) if models_table.rows else ()),
        "## Which cells",
        "",
        *(line for one in found for line in _cell_lines(one, summary)),
        "",
    ]
    return "\n".join(lines)


def _cell_lines(found: Finding, summary: Summary) -> Iterator[str]:
    """A claim's cells as it says them, then each with what it says alone."""
    yield f"- {found.claim.says}: {_cells(found.claim)}"
    for one in found.singles:
        label = summary.labels[one.cell]
        beside = "" if isnan(one.peer) else f" beside {one.peer:.1f}"
        levels = "" if found.claim.statistic == "memory" else f" ({one.mean:.1f}{beside} over all turns)"
        yield f"  - {label.row}, {label.title}, {label.mode}: {one.measured:.1f}{levels}"


def _order(found: Sequence[Finding]) -> list[str]:
    there = {one.verdict for one in found}
    return [verdict for verdict in ("seen", "not seen", "opposite", "n/a", "not run") if verdict in there]


def _cells(claim: Claim) -> str:
    """In words: which rows, beside which, and less which difference."""
    rows = "; ".join(f"{key} {', '.join(value or 'none' for value in values)}" for key, values in claim.rows.items())
    beside = f"; beside {_instead(claim.beside)}" if claim.beside else ""
    than = f"; less the same with {_instead(claim.than)}" if claim.than else ""
    return f"`{rows}{beside}{than}`"


def _instead(attributes: Mapping[str, str]) -> str:
    return ", ".join(f"{key} {value or 'none'}" for key, value in attributes.items())
