"""An archive's report and figures: made of what the archive has, so that whoever reads it can make them again."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from scbench.report.html import report_sweep

REPORT = "report.html"
FIGURES = "figures"
_DRAWERS = ("matplotlib", "plotly")


def drawn_files(manifest: Path) -> dict[str, bytes]:
    """The report and the figures of an unpacked sweep, made anew, by their names in the sweep's folder."""
    folder = report_sweep(manifest).parent
    figures = sorted((folder / FIGURES).iterdir())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in (folder / REPORT, *figures)}


def drawn_with() -> dict[str, str]:
    """The versions that the bytes of a report and of its figures depend on."""
    return {name: version(name) for name in _DRAWERS}
