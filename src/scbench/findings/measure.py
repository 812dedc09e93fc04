"""What a sweep says of each claim: the number, its interval, and whether the claim is seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan
from statistics import fmean

import numpy as np
import pandas as pd

from scbench.config.cell import Cell
from scbench.errors import ScbenchError
from scbench.findings.claims import Claim
from scbench.record import Diagnostics
from scbench.results.answers import Answers, cell_answers, paired, part_of, session_means
from scbench.results.bootstrap import MISSING, Floats, Interval, Part, Weights, mean_of_parts
from scbench.results.frames import KEY
from scbench.results.labels import Label
from scbench.results.scores import sweep_records
from scbench.results.summary import Summary

ALL = 100.0  # %, what a score or a share of attention is at most
PART = 4  # of an answer's steps: the first and the last quarter
Attributes = Mapping[str, str]
Against = Callable[[Floats, Floats], Floats]  # two cells' values of a turn, to one
Reduce = Callable[[Floats], Floats]  # a session's turns, to one value


@dataclass(frozen=True)
class Single:
    """What one cell of a claim says alone: the claim's statistic, and the mean of the cell and of its peer beside it.

    The means are over all turns, of what the statistic is made of (scores or attention in %); NaN without a peer.
    """

    cell: str
    measured: float
    mean: float
    peer: float


@dataclass(frozen=True)
class Finding:
    """A claim and what was measured, over so many cells; `contexts` are those of the cell that has the fewest."""

    claim: Claim
    measured: Interval
    cells: int
    contexts: int
    singles: tuple[Single, ...] = ()

    @property
    def alike(self) -> int:
        """How many of the cells lie, each by itself and without an interval, where the claim is seen."""
        return sum(self.claim.seen.hold(one.measured, one.measured) for one in self.singles)

    @property
    def verdict(self) -> str:
        """`seen`, `opposite` or `not seen`; `not run` where cells are missing, `n/a` with too few contexts."""
        if not self.cells:
            return "not run"
        low, high = self.measured.low, self.measured.high
        if isnan(low):
            return "n/a"
        if self.claim.seen.hold(low, high):
            return "seen"
        return "opposite" if self.claim.opposite.hold(low, high) else "not seen"


def findings(summary: Summary, claims: Iterable[Claim]) -> list[Finding]:
    """Each claim on a sweep's records, in their order."""
    known = {name: _attributes(cell, summary.labels[name]) for name, cell in summary.sweep.cells.items()}
    quantities = {
        "score": lambda cells: cell_answers(summary.scored.scores),
        "stored": lambda cells: cell_answers(_of_memory(summary, cells)),
        "held": lambda cells: cell_answers(_of_attention(summary, cells, _held)),
        "held_change": lambda cells: cell_answers(_of_attention(summary, cells, _held_change)),
    }
    scores = quantities["score"](())
    weights = Weights()
    found = []
    for claim in claims:
        quantity, against, reduce = STATISTICS[claim.statistic]
        groups = list(_groups(claim, known))
        cells = [cell for group in groups for cell in group]
        values = scores if quantity == "score" else quantities[quantity](cells)
        found.append(_finding(claim, groups, values, (against, reduce), weights))
    return found


def _finding(
    claim: Claim,
    groups: Sequence[tuple[str, ...]],
    values: Mapping[str, Answers],
    statistic: tuple[Against, Reduce],
    weights: Weights,
) -> Finding:
    """`groups`: per row its cell; its peer; the row and its peer elsewhere, as far as the claim has them."""
    if not groups or any(cell not in values for group in groups for cell in group):
        return Finding(claim, MISSING, 0, 0)
    against, reduce = statistic
    parts = [_part([values[cell] for cell in group], against, reduce) for group in groups]
    size = len(groups[0])
    most = ALL * (size if reduce is _later else max(1, size // 2))
    low = 0.0 if size == 1 and claim.statistic in ("level", "first") else -most
    (interval,) = mean_of_parts(parts, np.array([[low], [most]]), weights)
    singles = tuple(
        Single(group[0], float(part.estimates[0]), *_means([values[cell] for cell in group[:2]]))
        for group, part in zip(groups, parts, strict=True)
    )
    return Finding(claim, interval, len(groups), min(int(part.sizes[0]) for part in parts), singles)


def _means(pair: Sequence[Answers]) -> tuple[float, float]:
    known = (means[~np.isnan(means)] for means in (session_means(answers.strict) for answers in pair))
    one, *other = (float(means.mean()) if means.size else nan for means in known)
    return one, other[0] if other else nan


def _part(group: Sequence[Answers], against: Against, reduce: Reduce) -> Part:
    """One value per session: a row, itself against its peer, or that minus the same elsewhere."""
    here = group[0] if len(group) == 1 else _compared(group[0], group[1], against)
    if len(group) == 4:
        here = _compared(here, _compared(group[2], group[3], against), np.subtract)
    return part_of(here.contexts, reduce(here.strict)[:, None])


def _compared(one: Answers, other: Answers, against: Against) -> Answers:
    """What two cells' shared sessions differ by, turn by turn."""
    pair = paired(one, other)
    sessions = np.intersect1d(one.sessions, other.sessions, assume_unique=True)
    return Answers(sessions, pair.contexts, against(pair.one, pair.other))


def _relative(one: Floats, other: Floats) -> Floats:
    """In % of the other."""
    return ALL * (one / other - 1)


def _first(values: Floats) -> Floats:
    return values[:, 0]


def _later(values: Floats) -> Floats:
    return session_means(values[:, 1:]) - values[:, 0]


STATISTICS: Mapping[str, tuple[str, Against, Reduce]] = {
    "level": ("score", np.subtract, session_means),
    "difference": ("score", np.subtract, session_means),
    "first": ("score", np.subtract, _first),
    "later": ("score", np.subtract, _later),
    "memory": ("stored", _relative, session_means),
    "recall_by_step": ("held_change", np.subtract, session_means),
    "recall_by_turn": ("held", np.subtract, _later),
}


def _groups(claim: Claim, known: Mapping[str, Attributes]) -> Iterator[tuple[str, ...]]:
    """Per row that a claim is about, the cells that make its number; a peer that is missing is an empty name.

    Raises `ScbenchError` where two cells of the sweep differ in nothing that a claim can say.
    """
    cells: dict[tuple[tuple[str, str], ...], str] = {}
    for name, its in known.items():
        if (same := cells.setdefault(_key(its), name)) != name:
            raise ScbenchError(f"cells {same} and {name} differ in nothing that a claim can say; leave one out")
    for name, its in known.items():
        if all(its[key] in values for key, values in claim.rows.items()):
            group = [its] if claim.beside is None else [its, {**its, **claim.beside}]
            if claim.than is not None:
                group += [{**one, **claim.than} for one in group]
            yield tuple(cells.get(_key(one), "") for one in group) if len(group) > 1 else (name,)


def _key(attributes: Attributes) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(attributes.items()))


def _attributes(cell: Cell, label: Label) -> Attributes:
    return {
        "model": cell.model.name,
        "method": label.method,
        "budget": label.budget,
        "task": cell.task.name,
        "mode": cell.mode.name,
        "history": cell.history,
        "query": cell.query,
        "kind": label.kind,
    }


def _of_attention(summary: Summary, cells: Iterable[str], of: Callable[[Diagnostics], float]) -> pd.DataFrame:
    """The scores' rows of some cells, with a share of attention where the score stood."""
    scores = summary.scored.scores
    mine = scores[scores["cell"].isin(set(cells))]
    found = {
        (name, record.session, record.turn): of(record.diagnostics)
        for name in dict.fromkeys(mine["cell"])
        for record in sweep_records(summary.sweep, name)
        if record.diagnostics is not None
    }
    places = mine[list(KEY)].itertuples(index=False, name=None)
    return mine.assign(strict=[found.get(place, nan) for place in places])


def _of_memory(summary: Summary, cells: Iterable[str]) -> pd.DataFrame:
    """The scores' rows of some cells, with the bytes that are stored where the score stood."""
    scores = summary.scored.scores
    mine = scores[scores["cell"].isin(set(cells))]
    return mine.assign(strict=mine["kv_stored"])


def _held(diagnostics: Diagnostics) -> float:
    return fmean(share for _, share in diagnostics.by_step("mass"))


def _held_change(diagnostics: Diagnostics) -> float:
    """Of the last quarter of an answer's steps, minus the first; NaN for an answer of fewer steps."""
    shares = [share for _, share in diagnostics.by_step("mass")]
    quarter = len(shares) // PART
    return fmean(shares[-quarter:]) - fmean(shares[:quarter]) if quarter else nan
