"""What changed between two sweeps: which cells, why, and whether their scores did beyond noise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import isnan, nan
from typing import Any

import numpy as np
import pandas as pd

from scbench.grid.manifest import Manifest
from scbench.results.answers import Answers, Pair, cell_answers, paired, part_of, session_means
from scbench.results.bootstrap import FEWEST, MISSING, Interval, Weights, mean_of_parts
from scbench.results.comparison import SIGNIFICANT
from scbench.results.correction import benjamini_hochberg
from scbench.results.divergence import dense_cells
from scbench.results.labels import Label, labels
from scbench.results.noise import noise_floor
from scbench.results.pairs import repeats
from scbench.results.summary import Summary
from scbench.results.table import Column, Table, Value

Name = tuple[str, str, str, str, str]  # model, method with budget, setting, mode, task: what both sweeps call a cell
BOUNDS = np.array([[-100.0], [100.0]])
NOTE = (
    "Strict scores in %, on the turns that both sweeps answered; differences (second minus first) in points with 95 % "
    f"intervals over contexts, p by false discovery rate. noise: what dense's mean may differ by when it is run "
    f"again (dense_repeat). same: every "
    f"score is the same; changed: p below {SIGNIFICANT}, and the interval beyond ± noise (0 without a dense_repeat); "
    f"noise: the interval reaches into ± noise; unknown: neither, or fewer than {FEWEST} contexts in common."
)


@dataclass(frozen=True)
class CellDifference:
    """One cell in both sweeps: means on their common turns, the difference with its interval, and why they differ.

    `causes` are the settings and hashes of the second that are not those of the first; none for the same cell.
    """

    name: Name
    first: float
    second: float
    difference: Interval
    contexts: int
    same: bool
    noise: float
    causes: tuple[str, ...]
    adjusted: float = nan

    @property
    def verdict(self) -> str:
        """`same`, `changed`, `noise` or `unknown`."""
        if self.same and self.contexts:
            return "same"
        if isnan(self.difference.low):
            return "unknown"
        if self.difference.low <= self.noise and self.difference.high >= -self.noise:
            return "noise"
        around_zero = self.difference.low <= 0 <= self.difference.high
        return "changed" if self.adjusted < SIGNIFICANT and not around_zero else "unknown"


def differences(first: Summary, second: Summary, manifests: tuple[Manifest, Manifest]) -> list[CellDifference]:
    """The cells that both sweeps have, in the order of the second."""
    answers = cell_answers(pd.concat([_marked(one, mark) for one, mark in ((first, "a"), (second, "b"))]))
    weights = Weights()
    floors = _floors(first, "a", answers), _floors(second, "b", answers)
    found = [
        _difference(
            name,
            (answers.get(f"a{mine}"), answers.get(f"b{theirs}")),
            max(floors[0].get(mine, nan), floors[1].get(theirs, nan)),
            tuple(_causes(manifests, mine, theirs)),
            weights,
        )
        for name, (mine, theirs) in matched(first, second).items()
    ]
    adjusted = benjamini_hochberg([one.difference.p for one in found])
    return [replace(one, adjusted=p) for one, p in zip(found, adjusted, strict=True)]


def differences_table(found: list[CellDifference], names: tuple[str, str]) -> Table:
    """A row per cell that both have."""
    columns = (
        *map(Column, ("mode", "task", "model", "method", "setting")),
        *(Column(names[0], 1), Column(names[1] if names[1] != names[0] else f"{names[1]} (2)", 1)),
        *(Column("difference", 1), Column("low", 1), Column("high", 1), Column("p", 4)),
        *(Column("contexts"), Column("noise", 1), Column("verdict"), Column("because")),
    )
    rows: list[tuple[Value, ...]] = [
        (
            *(one.name[3], one.name[4], one.name[0], one.name[1], one.name[2], one.first, one.second),
            *(one.difference.estimate, one.difference.low, one.difference.high, one.adjusted),
            *(one.contexts, one.noise, one.verdict, "; ".join(one.causes)),
        )
        for one in found
    ]
    return Table("diff", f"{names[0]} and {names[1]}", NOTE, columns, tuple(rows))


def matched(first: Summary, second: Summary) -> dict[Name, tuple[str, str]]:
    """The cells that both sweeps have, by name, in the order of the second.

    A cell is first what both sweeps together call it, so that one which is in both is found whatever else either has;
    what is left over is the same where each sweep alone calls it the same: settings of a whole sweep may differ.
    """
    together = labels({**first.sweep.cells, **second.sweep.cells})
    mine = {_name(together[cell]): cell for cell in first.labels}
    both = {_name(together[cell]): cell for cell in second.labels if _name(together[cell]) in mine}
    found = {cell: (name, mine[name]) for name, cell in both.items()}
    taken = {one for _, one in found.values()}
    alone = {_name(label): cell for cell, label in first.labels.items() if cell not in taken}
    for cell, label in second.labels.items():
        name = _name(label)
        if cell not in found and name in alone and name not in both:
            found[cell] = name, alone[name]
    return {found[cell][0]: (found[cell][1], cell) for cell in second.labels if cell in found}


def only(first: Summary, second: Summary) -> tuple[list[str], list[str]]:
    """The cells that the first sweep has and the second has not, by name, and those that the second alone has."""
    together = labels({**first.sweep.cells, **second.sweep.cells})
    both = matched(first, second).values()
    taken = {mine for mine, _ in both}, {theirs for _, theirs in both}
    left = (
        [" · ".join(filter(None, _name(together[cell]))) for cell in summary.labels if cell not in its]
        for summary, its in zip((first, second), taken, strict=True)
    )
    return next(left), next(left)


def _name(its: Label) -> Name:
    return its.model, its.row, its.setting, its.mode, its.title


def _marked(summary: Summary, mark: str) -> pd.DataFrame:
    """Cells told apart by sweep; sessions by their content, since ids alone do not say that they are the same.

    A session whose content is not known is no other sweep's.
    """
    scores = summary.scored.scores
    names = [
        f"{session}\n{summary.content(cell).get(session, mark)}"
        for cell, session in zip(scores["cell"], scores["session"], strict=True)
    ]
    return scores.assign(cell=mark + scores["cell"], session=names)


def _difference(
    name: Name,
    both: tuple[Answers | None, Answers | None],
    noise: float,
    causes: tuple[str, ...],
    weights: Weights,
) -> CellDifference:
    first, second = both
    pair = None if first is None or second is None else paired(first, second)
    if pair is None or not pair.turns:
        return CellDifference(name, nan, nan, MISSING, 0, False, noise, causes)
    part = part_of(pair.contexts, session_means(pair.other - pair.one)[:, None])
    (interval,) = mean_of_parts([part], BOUNDS, weights)
    same = bool(np.nanmax(np.abs(pair.other - pair.one)) == 0)
    before, after = (float(np.nanmean(session_means(one))) for one in (pair.one, pair.other))
    return CellDifference(name, before, after, interval, int(part.sizes[0]), same, noise, causes)


def _floors(summary: Summary, mark: str, answers: Mapping[str, Answers]) -> dict[str, float]:
    """By cell: how much the mean of its dense cell may differ when it is run again; without those that have none."""
    again = repeats(summary.sweep.cells)
    measured = {}
    for dense, repeated in again.items():
        cells = (f"{mark}{dense}", f"{mark}{repeated}")
        if all(cell in answers for cell in cells):
            pair: Pair = paired(answers[cells[0]], answers[cells[1]])
            part = part_of(pair.contexts, session_means(pair.one - pair.other)[:, None])
            measured[dense] = noise_floor([part], [1.0], 0) if pair.turns else nan
    return {cell: measured[dense] for cell, dense in dense_cells(summary.sweep.cells).items() if dense in measured}


def _causes(manifests: tuple[Manifest, Manifest], mine: str, theirs: str) -> Iterator[str]:
    """What differs between a cell's settings, and between the hashes of what it was made from."""
    if mine == theirs:
        return
    for what, other in zip(
        *(_settings(m, cell) for m, cell in zip(manifests, (mine, theirs), strict=True)), strict=True
    ):
        for key in dict.fromkeys((*what, *other)):
            before, after = what.get(key, "none"), other.get(key, "none")
            if before != after:
                yield f"{key}: {before} → {after}"


def _settings(manifest: Manifest, cell: str) -> tuple[dict[str, str], dict[str, str]]:
    hashes = {
        key: value[:8] if len(value) > 16 else value for key, value in _flat(manifest.hashes.get(cell, {})).items()
    }
    return _flat(manifest.cells[cell].to_dict()), hashes


def _flat(data: Any, prefix: str = "") -> dict[str, str]:
    """Nested plain data as texts by dotted key."""
    parts = data.items() if isinstance(data, Mapping) else enumerate(data) if isinstance(data, list | tuple) else None
    if parts is None:
        return {prefix: str(data)}
    return {
        key: value
        for name, part in parts
        for key, value in _flat(part, f"{prefix}.{name}" if prefix else str(name)).items()
    }
